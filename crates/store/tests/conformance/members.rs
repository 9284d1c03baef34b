use model::access::{MAX_MEMBERSHIPS, Member, Role};
use model::{AppId, UserId};
use store::MemberPut;
use testkit::{TestStore, by, on_both};

use crate::users::{new_user, user};
use crate::world::{execute, keys, walk};

pub fn new_member(db: &TestStore, app: AppId, user: UserId, role: Role) -> Member {
    let now = db.clock.now();
    Member { app_id: app, user_id: user, role, created_at: now, updated_at: now }
}

on_both! {
    async fn a_member_has_one_role_in_an_app(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let ada = user(&db, "ada@example.org").await;
        let mut member = new_member(&db, app, ada.id, Role::Viewer);
        assert_eq!(db.put_member(&member, &by()).await.unwrap(), MemberPut::Created);
        assert_eq!(db.member_in_app(app, ada.id).await.unwrap(), Some(member.clone()));
        assert_eq!(db.member_in_app(other, ada.id).await.unwrap(), None);

        member.role = Role::Owner;
        let created_at = member.created_at;
        member.created_at = created_at.plus_ms(3);
        member.updated_at = created_at.plus_ms(3);
        assert_eq!(db.put_member(&member, &by()).await.unwrap(), MemberPut::Changed);
        member.created_at = created_at;
        assert_eq!(db.member_in_app(app, ada.id).await.unwrap(), Some(member));
        assert_eq!(db.memberships(ada.id).await.unwrap(), [(app, Role::Owner)]);

        assert!(!db.delete_member(other, ada.id, &by()).await.unwrap());
        assert!(db.delete_member(app, ada.id, &by()).await.unwrap());
        assert!(!db.delete_member(app, ada.id, &by()).await.unwrap());
        assert_eq!(db.memberships(ada.id).await.unwrap(), []);
    }

    async fn only_a_user_becomes_a_member(db: TestStore) {
        let app = db.app().await;
        let stranger = new_user(&db, "nobody@example.org");
        let member = new_member(&db, app, stranger.id, Role::Viewer);
        assert_eq!(db.put_member(&member, &by()).await.unwrap(), MemberPut::NoSuchUser);
        let ada = user(&db, "ada@example.org").await;
        let member = new_member(&db, app, ada.id, Role::Viewer);
        db.put_member(&member, &by()).await.unwrap();
        assert!(db.delete_user(ada.id, &by()).await.unwrap());
        assert_eq!(db.member_in_app(app, ada.id).await.unwrap(), None);
    }

    async fn nobody_is_a_member_of_too_many_apps(db: TestStore) {
        let app = db.app().await;
        let ada = user(&db, "ada@example.org").await;
        db.put_member(&new_member(&db, app, ada.id, Role::Viewer), &by()).await.unwrap();
        assert_eq!(MAX_MEMBERSHIPS, 1_000);
        let many = "insert into member (app_id, user_id, role, created_at, updated_at) \
            with recursive n (n) as (select 1 union all select n + 1 from n where n < 999) \
            select 'app_' || substr(cast(1000000000000000 + n as text) \
            || '00000000000000000000', 1, 27), user_id, role, 0, 0 from n, member";
        execute(&db, many).await;
        assert_eq!(db.memberships(ada.id).await.unwrap().len(), 1_000);
        let member = new_member(&db, db.app().await, ada.id, Role::Viewer);
        assert_eq!(db.put_member(&member, &by()).await.unwrap(), MemberPut::TooMany);
        let member = new_member(&db, app, ada.id, Role::Owner);
        assert_eq!(db.put_member(&member, &by()).await.unwrap(), MemberPut::Changed);
    }

    async fn members_are_listed_by_app(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let mut ids = Vec::new();
        for n in 0..7 {
            db.advance_ms(1);
            let user = user(&db, &format!("{n}@example.org")).await;
            db.put_member(&new_member(&db, app, user.id, Role::Viewer), &by()).await.unwrap();
            ids.push(user.id.to_string());
        }
        let user = user(&db, "other@example.org").await;
        db.put_member(&new_member(&db, other, user.id, Role::Viewer), &by()).await.unwrap();
        walk(&ids, async |query| {
            let members = db.members_in_app(app, &query).await.unwrap();
            assert!(members.data.iter().all(|member| member.email.ends_with("@example.org")));
            keys(members, |named| named.member.user_id.to_string())
        })
        .await;
    }
}
