//! `doorbell verify`: tells whether a webhook that somebody received is signed well, and if not,
//! which layer failed. It needs no server and no settings.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use model::inbound::{Accepted, DEFAULT_TOLERANCE_S, Headers, Key, Question, Rejected, Scheme};
use model::{Clock, Timestamp};

use crate::assembly::StartError;

const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The body as it was received; standard input if left out
    body: Option<PathBuf>,
    /// A header as it was received, `name: value`; may be given several times
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    /// A secret that may have signed it. Others on this machine can see arguments: prefer the two
    /// below
    #[arg(long)]
    secret: Vec<String>,
    /// An environment variable with a secret
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<OsString>,
    /// A file with a secret on each line; `-` for standard input, when the body is in a file
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// webhook, svix, stripe, github or shopify; what the headers say if left out
    #[arg(long)]
    scheme: Option<Scheme>,
    /// How many seconds the timestamp may lie from now, both ways
    #[arg(long, default_value_t = DEFAULT_TOLERANCE_S)]
    tolerance: u64,
    /// Judge as if it were this second, in Unix time
    #[arg(long, value_name = "SECONDS")]
    at: Option<i64>,
}

/// Prints the verdict; the exit code is 1 for a signature that is not good.
#[expect(clippy::print_stdout, reason = "a command's answer")]
pub fn run(arguments: &Arguments) -> Result<ExitCode, StartError> {
    let secrets = arguments.secrets()?;
    let body = arguments.body()?;
    let now = match arguments.at {
        Some(seconds) => Timestamp(seconds.saturating_mul(1_000)),
        None => Clock::system().now(),
    };
    let (verdict, text) = match arguments.judge(&secrets, &body, now)? {
        Ok(accepted) => (ExitCode::SUCCESS, good(&accepted)),
        Err(rejected) => (ExitCode::FAILURE, bad(&rejected)),
    };
    print!("{text}");
    Ok(verdict)
}

impl Arguments {
    fn judge(
        &self,
        secrets: &[String],
        body: &[u8],
        now: Timestamp,
    ) -> Result<Result<Accepted, Rejected>, StartError> {
        let headers: Headers<'_> =
            self.headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?;
        let scheme = self.scheme.or_else(|| Scheme::of(&headers));
        let read = |(at, secret): (usize, &String)| {
            Key::parse(scheme.unwrap_or(Scheme::Webhook), secret)
                .map_err(|why| StartError::Other(format!("secret {}: {why}", at + 1)))
        };
        let keys: Vec<Key> = secrets.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let tolerance_s = self.tolerance;
        let question = Question { scheme, headers: &headers, body, tolerance_s, now };
        Ok(question.judge(&keys, &[]))
    }

    fn secrets(&self) -> Result<Vec<String>, StartError> {
        let mut secrets = self.secret.clone();
        for name in &self.secret_env {
            let value = std::env::var(name).map_err(|error| {
                StartError::Other(format!("the variable {}: {error}", name.display()))
            })?;
            secrets.push(value);
        }
        if let Some(path) = &self.secret_file {
            if is_stdin(path) && self.body.as_deref().is_none_or(is_stdin) {
                let why = "the body and the secrets cannot both come from standard input";
                return Err(StartError::Other(why.to_owned()));
            }
            let text = String::from_utf8(read(path, MAX_SECRET_FILE_BYTES)?)
                .map_err(|error| StartError::Other(format!("{}: {error}", path.display())))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            secrets.extend(lines.map(str::to_owned));
        }
        Ok(secrets)
    }

    fn body(&self) -> Result<Vec<u8>, StartError> {
        read(self.body.as_deref().unwrap_or(Path::new("-")), MAX_BODY_BYTES)
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, StartError> {
    let from: Box<dyn Read> = if is_stdin(path) {
        Box::new(io::stdin().lock())
    } else {
        let opened = std::fs::File::open(path);
        Box::new(opened.map_err(|why| StartError::Other(format!("{}: {why}", path.display())))?)
    };
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let path = path.display();
        return Err(StartError::Other(format!("{path} has more than {limit} bytes")));
    }
    Ok(bytes)
}

fn header(line: &str) -> Result<(&str, &str), StartError> {
    let wrong = || StartError::Other("a header is written as `name: value`".to_owned());
    line.split_once(':').ok_or_else(wrong)
}

fn good(accepted: &Accepted) -> String {
    let mut text = format!("valid\n  scheme: {}\n", accepted.scheme.as_str());
    if let Some(seconds) = accepted.timestamp_s {
        let sent = Timestamp(seconds.saturating_mul(1_000)).to_rfc3339();
        let _ = writeln!(text, "  sent: {sent}");
    }
    let _ = writeln!(text, "  known by: {}\n  secret: {}", accepted.id, accepted.key + 1);
    text
}

fn bad(rejected: &Rejected) -> String {
    let mut text = format!("not valid\n  layer: {}\n", rejected.layer.as_str());
    if let Some(scheme) = rejected.scheme {
        let _ = writeln!(text, "  scheme: {}", scheme.as_str());
    }
    let _ = writeln!(text, "  reason: {}", rejected.detail);
    for hint in &rejected.hints {
        let _ = writeln!(text, "  hint: {}", hint.text());
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SENT: &str = "1614265330";

    fn line(more: &[&str]) -> Arguments {
        let signed = [
            "verify",
            "-H",
            "Webhook-Id: msg_p5jXN8AQM9LWM0D4loKWxJek",
            "-H",
            "Webhook-Timestamp: 1614265330",
            "-H",
            "Webhook-Signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ];
        Line::try_parse_from(signed.iter().chain(more)).unwrap().arguments
    }

    #[test]
    fn the_published_vector_is_good_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (body, secrets) = (folder.path().join("body"), folder.path().join("secrets"));
        std::fs::write(&body, br#"{"test": 2432232314}"#).unwrap();
        std::fs::write(&secrets, format!("whsec_AAAA\n\n{SECRET}\n")).unwrap();
        let (body, secrets) = (body.to_str().unwrap(), secrets.to_str().unwrap());
        let arguments = line(&[body, "--secret-file", secrets, "--at", SENT]);
        assert_eq!(arguments.secrets().unwrap(), ["whsec_AAAA", SECRET]);
        assert_eq!(run(&arguments).unwrap(), ExitCode::SUCCESS);
        assert_eq!(run(&line(&[body, "--secret", SECRET])).unwrap(), ExitCode::FAILURE);
        let text = bad(&line(&[body])
            .judge(&[SECRET.to_owned()], b"{}", Timestamp(0))
            .unwrap()
            .unwrap_err());
        assert!(text.starts_with("not valid\n  layer: timestamp\n  scheme: webhook\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let both = line(&["--secret-file", "-"]);
        assert!(both.secrets().unwrap_err().to_string().contains("standard input"));
        let absent = line(&["--secret-env", "DOORBELL_NO_SUCH_VARIABLE"]);
        assert!(absent.secrets().unwrap_err().to_string().contains("DOORBELL_NO_SUCH_VARIABLE"));
        let bad_secret = line(&[]).judge(&["whsec_%".to_owned()], b"", Timestamp(0)).unwrap_err();
        assert!(bad_secret.to_string().starts_with("secret 1: "), "{bad_secret}");
    }
}
