use model::access::{Role, User};
use model::{Timestamp, UserId};
use store::UserChange;
use testkit::{TestStore, by, on_both};

use crate::world::{ODD, execute, keys, walk};

/// A user that is not yet stored.
pub fn new_user(db: &TestStore, email: &str) -> User {
    let now = db.clock.now();
    User {
        id: UserId::new(now, &db.entropy),
        email: email.to_owned(),
        name: ODD.to_owned(),
        role: None,
        enabled: true,
        created_at: now,
        updated_at: now,
    }
}

pub async fn user(db: &TestStore, email: &str) -> User {
    let user = new_user(db, email);
    assert!(db.insert_user(&user, "hash", &by()).await.unwrap());
    user
}

on_both! {
    async fn every_field_of_a_user_comes_back(db: TestStore) {
        let mut user = new_user(&db, "ada@example.org");
        user.role = Some(Role::Admin);
        user.updated_at = Timestamp(user.created_at.0 + 5);
        assert!(db.insert_user(&user, "$argon2id$one", &by()).await.unwrap());
        assert_eq!(db.user(user.id).await.unwrap(), Some(user.clone()));
        let found = db.user_by_email("ada@example.org").await.unwrap();
        assert_eq!(found, Some((user.clone(), "$argon2id$one".to_owned())));
        assert_eq!(db.user_by_email("Ada@example.org").await.unwrap(), None);
        assert_eq!(db.password_of(user.id).await.unwrap().as_deref(), Some("$argon2id$one"));
        let stranger = UserId::new(db.clock.now(), &db.entropy);
        assert_eq!(db.user(stranger).await.unwrap(), None);
        assert_eq!(db.password_of(stranger).await.unwrap(), None);
    }

    async fn an_address_is_one_users_only(db: TestStore) {
        let one = user(&db, "one@example.org").await;
        let mut two = new_user(&db, "one@example.org");
        assert!(!db.insert_user(&two, "hash", &by()).await.unwrap());
        two.email = "two@example.org".to_owned();
        assert!(db.insert_user(&two, "hash", &by()).await.unwrap());
        two.email.clone_from(&one.email);
        assert_eq!(db.update_user(&two, &by()).await.unwrap(), UserChange::EmailTaken);
        two.email = "three@example.org".to_owned();
        two.role = Some(Role::Owner);
        two.enabled = false;
        two.name = "Two".to_owned();
        two.updated_at = two.created_at.plus_ms(9);
        assert_eq!(db.update_user(&two, &by()).await.unwrap(), UserChange::Done);
        assert_eq!(db.user(two.id).await.unwrap(), Some(two));
        let stranger = new_user(&db, "four@example.org");
        assert_eq!(db.update_user(&stranger, &by()).await.unwrap(), UserChange::NotFound);
    }

    async fn a_password_hash_is_of_no_use_in_another_row(db: TestStore) {
        let one = user(&db, "one@example.org").await;
        assert!(db.set_password(one.id, "another", &by()).await.unwrap());
        assert_eq!(db.password_of(one.id).await.unwrap().as_deref(), Some("another"));
        let stranger = UserId::new(db.clock.now(), &db.entropy);
        assert!(!db.set_password(stranger, "another", &by()).await.unwrap());
        let log = db.audit_log(&store::AuditQuery::default()).await.unwrap();
        let text = format!("{:?}", log.data);
        assert!(text.contains("user.set_password") && !text.contains("another"), "{text}");

        user(&db, "two@example.org").await;
        let copied = "update \"user\" set password = (select u.password from \"user\" u \
            where u.email = 'two@example.org') where email = 'one@example.org'";
        execute(&db, copied).await;
        assert!(db.password_of(one.id).await.is_err());
        assert!(db.user_by_email("one@example.org").await.is_err());
    }

    async fn users_are_listed_in_pages(db: TestStore) {
        let mut ids = Vec::new();
        for n in 0..7 {
            db.advance_ms(1);
            ids.push(user(&db, &format!("{n}@example.org")).await.id.to_string());
        }
        walk(&ids, async |query| {
            keys(db.users(&query).await.unwrap(), |user| user.id.to_string())
        })
        .await;
    }

    async fn a_deleted_user_leaves_nothing(db: TestStore) {
        let one = user(&db, "one@example.org").await;
        assert!(db.delete_user(one.id, &by()).await.unwrap());
        assert!(!db.delete_user(one.id, &by()).await.unwrap());
        assert_eq!(db.user(one.id).await.unwrap(), None);
    }
}
