use testkit::{TestStore, on_both};

use crate::world::ODD;

on_both! {
    async fn a_token_is_found_by_its_hash(db: TestStore) {
        assert!(!db.has_tokens().await.unwrap());
        assert!(db.insert_token(ODD, &[0, 255, 1]).await.unwrap());
        assert!(db.has_tokens().await.unwrap());
        assert!(!db.insert_token("the same again", &[0, 255, 1]).await.unwrap());
        assert!(db.insert_token("another", &[0, 255]).await.unwrap());
        let found = db.token_by_hash(&[0, 255, 1]).await.unwrap().expect("the token");
        assert_eq!((found.name.as_str(), found.created_at), (ODD, db.clock.now()));
        assert!(db.token_by_hash(&[0]).await.unwrap().is_none());
        assert!(db.token_by_hash(&[]).await.unwrap().is_none());
    }
}
