use store::{Answer, AnswerState};
use testkit::{TestStore, on_both};

use crate::world::ODD;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn created() -> Answer {
    Answer { status: 201, body: vec![0, 255, b'{', b'"'] }
}

on_both! {
    async fn a_repeated_request_gets_the_first_answer(db: TestStore) {
        assert_eq!(db.begin_answer(ODD, "one").await.unwrap(), AnswerState::New);
        assert_eq!(db.begin_answer(ODD, "one").await.unwrap(), AnswerState::InProgress);
        assert_eq!(db.begin_answer(ODD, "two").await.unwrap(), AnswerState::Mismatch);
        db.finish_answer(ODD, &created()).await.unwrap();
        assert_eq!(db.begin_answer(ODD, "one").await.unwrap(), AnswerState::Done(created()));
        assert_eq!(db.begin_answer(ODD, "two").await.unwrap(), AnswerState::Mismatch);
        assert_eq!(db.begin_answer("other", "two").await.unwrap(), AnswerState::New);
        db.forget_answer("other").await.unwrap();
        assert_eq!(db.begin_answer("other", "three").await.unwrap(), AnswerState::New);
    }

    async fn a_key_is_free_again_when_its_time_is_over(db: TestStore) {
        assert_eq!(db.begin_answer("crashed", "a").await.unwrap(), AnswerState::New);
        assert_eq!(db.begin_answer("done", "a").await.unwrap(), AnswerState::New);
        db.finish_answer("done", &created()).await.unwrap();
        db.advance_ms(60_000);
        assert_eq!(db.begin_answer("crashed", "b").await.unwrap(), AnswerState::New);
        db.advance_ms(DAY_MS - 60_001);
        assert_eq!(db.begin_answer("done", "a").await.unwrap(), AnswerState::Done(created()));
        db.advance_ms(1);
        assert_eq!(db.begin_answer("done", "b").await.unwrap(), AnswerState::New);
    }

    async fn a_remembered_key_is_remembered_until_its_time_is_over(db: TestStore) {
        let until = db.clock.now().plus_ms(1_000);
        assert!(db.remember(ODD, until).await.unwrap());
        assert!(!db.remember(ODD, until.plus_ms(9_000)).await.unwrap());
        assert!(db.remember("other", until).await.unwrap());
        let (one, two) = tokio::join!(db.remember("race", until), db.remember("race", until));
        assert_ne!(one.unwrap(), two.unwrap());
        db.advance_ms(999);
        assert!(!db.remember(ODD, until).await.unwrap());
        db.advance_ms(1);
        assert!(db.remember(ODD, until.plus_ms(1)).await.unwrap());
        assert!(!db.remember(ODD, until).await.unwrap());
        db.advance_ms(1);
        while db.delete_expired_answers().await.unwrap() {}
        assert!(db.remember(ODD, until.plus_ms(9)).await.unwrap());
    }

    async fn expired_answers_are_deleted(db: TestStore) {
        assert!(!db.delete_expired_answers().await.unwrap());
        for key in ["a", "b"] {
            db.begin_answer(key, "x").await.unwrap();
            db.finish_answer(key, &created()).await.unwrap();
        }
        db.advance_ms(DAY_MS);
        db.begin_answer("fresh", "x").await.unwrap();
        assert!(db.delete_expired_answers().await.unwrap());
        assert!(!db.delete_expired_answers().await.unwrap());
        assert_eq!(db.begin_answer("fresh", "x").await.unwrap(), AnswerState::InProgress);
    }

    async fn two_at_once_are_told_apart(db: TestStore) {
        let second = db.reopen().await;
        let (one, two) = tokio::join!(db.begin_answer("k", "a"), second.begin_answer("k", "a"));
        let mut states = [one.unwrap(), two.unwrap()];
        states.sort_by_key(|state| *state == AnswerState::New);
        assert_eq!(states, [AnswerState::InProgress, AnswerState::New]);
        second.close().await;
    }

    async fn a_kept_answer_is_sealed(db: TestStore) {
        db.begin_answer("k", "a").await.unwrap();
        let body = b"the answer holds a secret".to_vec();
        db.finish_answer("k", &Answer { status: 200, body: body.clone() }).await.unwrap();
        let sealed: Vec<u8> = crate::world::raw(&db, "select sealed from answer").await;
        assert!(!sealed.windows(6).any(|bytes| body.windows(6).any(|plain| plain == bytes)));
    }
}
