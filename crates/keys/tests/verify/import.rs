//! Keys of other systems, of which only hashes are known.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::{ImportedHash, Keys, KeysError, NewImport, VerifyRequest};
use model::key::decide::Code;
use model::key::pepper::Digest;
use model::key::{Key, KeySecret};
use store::MAX_BY_START;
use testkit::on_both;

use crate::world::{World, at, by, start, stranger, until};

/// As another system makes them.
const TOKEN: &str = "zpka_5f1c9d7e8a2b4c6d8e0f1a2b3c4d5e6f";

fn hex(digest: &Digest) -> String {
    let (Digest::Sha256(bytes) | Digest::HmacSha256(bytes)) = digest else { unreachable!() };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha512_base64(token: &str) -> String {
    let Digest::Sha512(bytes) = Digest::sha512(token) else { unreachable!() };
    STANDARD.encode(bytes)
}

fn bcrypt_of(token: &str) -> String {
    bcrypt::hash(token, 4).unwrap().replace("$2b$", "$2y$")
}

fn argon2_of(token: &str) -> String {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    argon2::Argon2::from(params)
        .hash_password_with_salt(token.as_bytes(), b"some salt of it")
        .unwrap()
        .to_string()
}

fn import(world: &World, hash: ImportedHash) -> NewImport {
    NewImport { key: world.new_key(), hash, start: Some(TOKEN[..8].to_owned()), entropy_bits: 128 }
}

async fn secret(world: &World, key: &Key) -> KeySecret {
    world.db.secrets_of(key.id).await.unwrap().remove(0).value
}

async fn code(node: &Keys, token: &str) -> Code {
    node.verify(VerifyRequest::new(token)).await.code
}

/// Found, renewed at its first use, found by a node that knows nothing, revoked.
async fn lives_and_dies(world: World, hash: ImportedHash) {
    assert_eq!(world.code(TOKEN).await, Code::Malformed);
    let key = world.import_key(import(&world, hash), &by()).await.unwrap();
    let node = start(world.store(), |_| ()).await;
    assert_eq!(world.code(&format!("{TOKEN}x")).await, Code::Malformed);
    assert_eq!(world.code(TOKEN).await, Code::Valid);
    until(async || {
        // Each use is an occasion; while another hash is being made none is taken.
        assert_eq!(world.code(TOKEN).await, Code::Valid);
        let secret = secret(&world, &key).await;
        secret.hash.starts_with("$2b$04$") && secret.lookup.is_some()
    })
    .await;
    assert_eq!(code(&node, TOKEN).await, Code::Valid);
    assert_eq!(code(&start(world.store(), |_| ()).await, TOKEN).await, Code::Valid);
    world.revoke(&key).await;
    assert_eq!(world.code(TOKEN).await, Code::Revoked);
    node.catch_up().await.unwrap();
    assert_eq!(code(&node, TOKEN).await, Code::Revoked);
    node.close().await;
}

on_both! {
    async fn by_sha256(world: World) {
        lives_and_dies(world, ImportedHash::Sha256(hex(&Digest::sha256(TOKEN)))).await;
    }

    async fn by_sha512(world: World) {
        lives_and_dies(world, ImportedHash::Sha512(sha512_base64(TOKEN))).await;
    }

    async fn by_hmac(world: World) {
        let secret = b"the other system's secret".to_vec();
        let digest = hex(&Digest::hmac_sha256(&secret, TOKEN));
        lives_and_dies(world, ImportedHash::HmacSha256 { digest, secret }).await;
    }

    async fn by_bcrypt(world: World) {
        lives_and_dies(world, ImportedHash::Bcrypt(bcrypt_of(TOKEN))).await;
    }

    async fn by_argon2(world: World) {
        lives_and_dies(world, ImportedHash::Argon2(argon2_of(TOKEN))).await;
    }

    async fn what_may_be_guessed_gets_no_index(world: World) {
        let weak = |token: &str, hash| NewImport {
            start: Some(token[..8].to_owned()),
            entropy_bits: 64,
            ..import(&world, hash)
        };
        let tokens = ["first weak token", "second weak token"];
        let hashes = [
            ImportedHash::Sha256(hex(&Digest::sha256(tokens[0]))),
            ImportedHash::Bcrypt(bcrypt_of(tokens[1])),
        ];
        for (token, hash) in tokens.into_iter().zip(hashes) {
            let key = world.import_key(weak(token, hash), &by()).await.unwrap();
            let before = secret(&world, &key).await;
            assert_eq!(before.lookup, None);
            for _ in 0..3 {
                assert_eq!(world.code(token).await, Code::Valid, "{token}");
            }
            assert_eq!(world.fresh(token).await.code, Code::Valid);
            assert_eq!(secret(&world, &key).await.hash, before.hash);
            world.set_enabled(at(&key), false, &by()).await.unwrap();
            assert_eq!(world.code(token).await, Code::Disabled);
        }
        let secret = b"secret".to_vec();
        let digest = hex(&Digest::hmac_sha256(&secret, TOKEN));
        let refused = world
            .import_key(weak(TOKEN, ImportedHash::HmacSha256 { digest, secret }), &by())
            .await;
        assert!(matches!(refused, Err(KeysError::Invalid { field: "secret", .. })));
    }

    async fn strangers_with_the_right_start_are_throttled(world: World) {
        world.import_key(import(&world, ImportedHash::Bcrypt(bcrypt_of(TOKEN))), &by())
            .await.unwrap();
        let before = world.stats().hash_runs;
        let peer = Some("203.0.113.1".parse().unwrap());
        for n in 0..100 {
            let token = format!("{}-{n}", &TOKEN[..8]);
            let request = VerifyRequest { peer, ..VerifyRequest::new(&token) };
            assert!(!world.verify(request).await.is_valid());
        }
        let runs = world.stats().hash_runs - before;
        assert!((1..=8).contains(&runs), "{runs} password hashes for one stranger");
    }

    async fn an_import_says_what_is_missing(world: World) {
        let bcrypt = || ImportedHash::Bcrypt(bcrypt_of(TOKEN));
        let short = NewImport { start: Some("zpka".to_owned()), ..import(&world, bcrypt()) };
        let refused = world.import_key(short, &by()).await;
        assert!(matches!(refused, Err(KeysError::Invalid { field: "start", .. })));
        let digest = ImportedHash::Sha256(hex(&Digest::sha256(TOKEN)));
        world.import_key(import(&world, digest.clone()), &by()).await.unwrap();
        let again = world.import_key(import(&world, digest), &by()).await;
        assert!(matches!(again, Err(KeysError::Taken("token"))));
    }
    async fn our_own_tokens_cost_no_password_hash(world: World) {
        let ours = stranger(&world.db);
        let start = Some(ours[..8].to_owned());
        let hash = ImportedHash::Bcrypt(bcrypt_of("crm_live_ of another system"));
        world.import_key(NewImport { start, ..import(&world, hash) }, &by()).await.unwrap();
        let before = world.stats().hash_runs;
        for _ in 0..5 {
            assert_eq!(world.code(&stranger(&world.db)).await, Code::NotFound);
        }
        assert_eq!(world.stats().hash_runs, before);
        let made = world.key().await;
        assert_eq!(world.code(&made.token).await, Code::Valid);
    }

    async fn no_more_share_a_start_than_are_looked_at(world: World) {
        let weak = |n: usize| {
            let hash = ImportedHash::Bcrypt(bcrypt_of(&format!("{}{n}", &TOKEN[..8])));
            NewImport { entropy_bits: 64, ..import(&world, hash) }
        };
        for n in 0..MAX_BY_START as usize {
            world.import_key(weak(n), &by()).await.unwrap();
        }
        let refused = world.import_key(weak(99), &by()).await;
        assert!(matches!(refused, Err(KeysError::Invalid { field: "start", .. })));
        let other = NewImport { start: Some("anything".to_owned()), ..weak(99) };
        world.import_key(other, &by()).await.unwrap();
        let last = format!("{}{}", &TOKEN[..8], MAX_BY_START - 1);
        assert_eq!(world.code(&last).await, Code::Valid);
    }
}
