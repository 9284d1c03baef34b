use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::{Args, FromArgMatches};

use super::source::Origin;
use super::*;

/// What a process finds: its arguments, its environment, and the files of its working directory.
#[derive(Default)]
struct Process<'a> {
    arguments: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
    dotenv: &'a str,
    toml: &'a str,
}

impl Process<'_> {
    fn load(&self) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".env"), self.dotenv).unwrap();
        fs::write(folder.path().join("doorbell.toml"), self.toml).unwrap();
        self.load_in(folder.path())
    }

    fn load_in(&self, folder: &Path) -> Result<Loaded, Problems> {
        let line = Flags::augment_args(clap::Command::new("doorbell"));
        let arguments = std::iter::once("doorbell").chain(self.arguments.iter().copied());
        let flags = Flags::from_arg_matches(&line.get_matches_from(arguments)).unwrap();
        let environment = self.environment.iter();
        let environment = environment.map(|(n, v)| (OsString::from(n), OsString::from(v)));
        load(&Sources::gather(flags, environment, folder))
    }

    fn problems(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

fn origin_of(loaded: &Loaded, name: &str) -> Origin {
    let value = loaded.values.iter().find(|value| value.setting.name() == name).unwrap();
    value.origin.clone()
}

#[test]
fn without_any_source_every_default_is_good() {
    let Loaded { config, values } = Process::default().load().unwrap();
    assert!(values.iter().all(|value| value.origin == Origin::Default));
    assert_eq!(config.server.listen, "127.0.0.1:8071");
    assert_eq!(config.database_url(), "sqlite:doorbell-data/doorbell.sqlite");
    assert_eq!(config.delivery.retry_schedule, model::retry::RetrySchedule::default());
    assert_eq!(config.breaker.thresholds(), model::breaker::Thresholds::default());
    assert!(config.server.roles.api && config.server.roles.worker && config.database.migrate);
}

#[test]
fn a_higher_source_overrides_a_lower_one() {
    let toml = "[server]\nlisten = 'file:1'";
    let dotenv = "DOORBELL_LISTEN=dotenv:2";
    let environment = [("DOORBELL_LISTEN", "environment:3")];
    let arguments = ["--listen", "flag:4"];
    let listen = |process: Process| {
        let loaded = process.load().unwrap();
        (loaded.config.server.listen.clone(), origin_of(&loaded, "server.listen").to_string())
    };
    let pair = |listen: &str, origin: &str| (listen.to_owned(), origin.to_owned());

    let mut found = vec![listen(Process { toml, ..Process::default() })];
    found.push(listen(Process { toml, dotenv, ..Process::default() }));
    let environment = &environment;
    found.push(listen(Process { toml, dotenv, environment, ..Process::default() }));
    found.push(listen(Process { toml, dotenv, environment, arguments: &arguments }));
    let expected = [
        pair("file:1", "doorbell.toml: server.listen"),
        pair("dotenv:2", ".env DOORBELL_LISTEN"),
        pair("environment:3", "environment DOORBELL_LISTEN"),
        pair("flag:4", "flag --listen"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let environment = [("DOORBELL_LISTEN", ""), ("DOORBELL_RETRY_SCHEDULE", "")];
    let process = Process { environment: &environment, ..Process::default() };
    assert_eq!(origin_of(&process.load().unwrap(), "server.listen"), Origin::Default);
}

#[test]
fn all_problems_are_named_at_once_with_their_places() {
    let process = Process {
        arguments: &["--timeout-ms", "50"],
        environment: &[("DOORBELL_ROLES", "api,cook"), ("DOORBELL_LISTN", "x:1")],
        dotenv: "DOORBELL_DATABASE_MIGRATE=maybe\nDOORBELL_TARGETS_ALLOW=10.0.0.0/8,home\nOTHER=1",
        toml: "[log]\nformat = 'xml'\n[servr]\nlisten = 'x:1'\n[delivery]\nuser_agent = { a = 1 }",
    };
    let expected = "\
8 bad settings:
  doorbell.toml: delivery.user_agent: a table is no setting; write a text, a number, true or false, or a list
  environment DOORBELL_ROLES: `api,cook` has `cook` in it, which is no role; server.roles takes api, worker, or both, with a comma between
  .env DOORBELL_DATABASE_MIGRATE: `maybe` is neither true nor false; database.migrate takes true or false
  flag --timeout-ms: `50` is out of range; delivery.timeout_ms takes a whole number from 1000 to 30000
  .env DOORBELL_TARGETS_ALLOW: `10.0.0.0/8,home` has `home` in it, which is neither a network nor an address; delivery.targets_allow takes networks with a comma between, such as 10.0.0.0/8,fd00::/8
  doorbell.toml: log.format: `xml` is none of them; log.format takes one of: text, json
  environment DOORBELL_LISTN: no setting has this variable; did you mean DOORBELL_LISTEN?
  doorbell.toml: servr.listen: no such setting; did you mean `listen` in [server]?";
    assert_eq!(process.problems(), expected);
}

#[test]
fn settings_that_are_bad_together_are_refused() {
    let toml = "[server]\ntls_cert = 'cert.pem'\n[delivery]\ntimeout_ms = 2000";
    let expected = "\
2 bad settings:
  server.tls_cert (from doorbell.toml: server.tls_cert) and server.tls_key (from default): must be set both or not at all
  delivery.connect_timeout_ms (from default) and delivery.timeout_ms (from doorbell.toml: delivery.timeout_ms): the first must not be longer than the second";
    assert_eq!(Process { toml, ..Process::default() }.problems(), expected);
}

#[test]
fn variables_that_are_not_settings_and_not_mistakes_are_let_be() {
    let environment = [
        ("DOORBELL_TEST_POSTGRES_URL", "postgres://x"),
        ("DOORBELL_BENCH_POSTGRES_URL", "postgres://x"),
        ("DOORBELL_SERVICE_HOST", "10.0.0.1"),
        ("DOORBELL_PORT", "tcp://10.0.0.1:80"),
        ("DOORBELL_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    assert!(Process { environment: &environment, ..Process::default() }.load().is_ok());
}

#[test]
fn files_that_cannot_be_read_are_problems_and_are_not_quoted() {
    let process = Process {
        dotenv: "DOORBELL_LISTEN=a:1\nDOORBELL_ADMIN_TOKEN='hush-hush-hush",
        toml: "[auth]\nadmin_token = hush-hush-hush",
        ..Process::default()
    };
    let problems = process.problems();
    assert!(problems.contains(".env: line 2 is not NAME=value"), "{problems}");
    assert!(problems.contains("doorbell.toml: line 2 is not TOML"), "{problems}");
    assert!(!problems.contains("hush-hush-hush"), "{problems}");

    let arguments = ["--config", "missing.toml"];
    let problems = Process { arguments: &arguments, ..Process::default() }.problems();
    assert!(problems.contains("missing.toml: cannot be read"), "{problems}");
}

#[test]
fn the_file_can_be_named_by_flag_and_by_variable() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("other.toml"), "[log]\nfilter = 'debug'").unwrap();
    let environment = [("DOORBELL_CONFIG", "other.toml")];
    let by_variable = Process { environment: &environment, ..Process::default() };
    assert_eq!(by_variable.load_in(folder.path()).unwrap().config.log.filter, "debug");
    let by_flag = Process { arguments: &["--config", "other.toml"], ..Process::default() };
    assert_eq!(by_flag.load_in(folder.path()).unwrap().config.log.filter, "debug");
}

#[test]
fn secrets_are_shown_nowhere_and_have_no_flag() {
    let environment = [
        ("DOORBELL_ADMIN_TOKEN", "hush-hush-hush-hush"),
        ("DOORBELL_DATABASE_URL", "postgres://me:hush@host/db?sslpassword=hush"),
        ("DOORBELL_REDIS_URL", "redis://:hush@host/0"),
    ];
    let loaded = Process { environment: &environment, ..Process::default() }.load().unwrap();
    let shown: Vec<String> = loaded.values.iter().map(Value::shown).collect();
    for printed in [shown.join("\n"), format!("{:?}", loaded.config)] {
        assert!(!printed.contains("hush"), "{printed}");
        assert!(printed.contains("postgres://me:redacted@host/db"), "{printed}");
    }
    assert!(settings().iter().all(|s| s.env != "DOORBELL_ADMIN_TOKEN" || s.flag().is_none()));

    let environment = [("DOORBELL_ADMIN_TOKEN", "hush"), ("DOORBELL_REDIS_URL", "http://:hush@h")];
    let problems = Process { environment: &environment, ..Process::default() }.problems();
    assert!(problems.starts_with("2 bad settings"), "{problems}");
    assert!(!problems.contains("hush"), "{problems}");
}

#[test]
fn lists_and_numbers_of_the_file_are_read_as_they_are_written() {
    let toml = "[server]\nroles = ['worker']\nmax_connections = 1_000\n\
        [delivery]\ntargets_allow = ['10.0.0.0/8', '::1']\n[database]\nmigrate = false";
    let config = Process { toml, ..Process::default() }.load().unwrap().config;
    assert!(config.server.roles.worker && !config.server.roles.api && !config.database.migrate);
    assert_eq!(config.server.max_connections, 1000);
    let allowed: Vec<String> =
        config.delivery.targets_allow.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["10.0.0.0/8", "::1/128"]);
}

#[test]
fn the_example_files_hold_every_setting_and_only_good_defaults() {
    let defaults = texts(&Process::default().load().unwrap());
    let [(_, toml), (_, dotenv)] = example::files();
    let toml = uncomment(&toml, " = ");
    let loaded = Process { toml: &toml, ..Process::default() }.load().unwrap();
    assert!(loaded.values.iter().all(|value| value.origin != Origin::Default));
    assert_eq!(texts(&loaded), defaults);

    let dotenv = uncomment(&dotenv, "=");
    let loaded = Process { dotenv: &dotenv, ..Process::default() }.load().unwrap();
    assert_eq!(texts(&loaded), defaults);
    assert!(settings().iter().all(|setting| dotenv.contains(&format!("{}=", setting.env))));
}

/// Takes the comment sign from the lines that set something.
fn uncomment(file: &str, sign: &str) -> String {
    let lines = file.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && rest.contains(sign) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn texts(loaded: &Loaded) -> BTreeMap<String, String> {
    loaded.values.iter().map(|value| (value.setting.name(), value.text.clone())).collect()
}

#[test]
fn the_committed_example_files_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, text) in example::files() {
        let committed = fs::read_to_string(root.join(name)).unwrap_or_default();
        assert!(
            committed == text,
            "{name} is stale: run `doorbell config example --write` in the repository's root"
        );
    }
}

#[test]
fn an_identity_provider_is_described_whole() {
    let of = |environment: &[(&str, &str)]| Process { environment, ..Process::default() }.load();
    let (issuer, client) =
        (("DOORBELL_OIDC_ISSUER", "https://id.example"), ("DOORBELL_OIDC_CLIENT_ID", "us"));
    let redirect = ("DOORBELL_OIDC_REDIRECT_URL", "https://doorbell.example/back");
    let public = ("DOORBELL_PUBLIC_URL", "https://doorbell.example/");
    let plain = ("DOORBELL_OIDC_ISSUER", "http://id.example");
    assert!(of(&[issuer, client, redirect]).is_ok());
    for bad in
        [&[issuer, redirect][..], &[client][..], &[issuer, client], &[plain, client, redirect]]
    {
        assert!(of(bad).is_err(), "{bad:?}");
    }
    let allowed = of(&[plain, client, redirect, ("DOORBELL_OIDC_PLAIN_HTTP", "true")]);
    assert!(allowed.unwrap().config.oidc.plain_http);
    let below = of(&[issuer, client, public]).unwrap().config;
    let url = below.oidc.redirect_url(below.server.public_url.as_deref());
    assert_eq!(url, "https://doorbell.example/api/v1/auth/oidc/callback");
}

#[test]
fn redis_may_speak_tls_but_not_without_asking_who_it_is() {
    let of =
        |url| Process { environment: &[("DOORBELL_REDIS_URL", url)], ..Process::default() }.load();
    assert!(of("rediss://:secret@redis.example:6380").is_ok());
    assert!(of("rediss://redis.example#insecure").is_err());
}
