//! Reads the command line: which port to listen on, and where the data lies.
//!
//! Invariant: what is not understood is refused with a sentence that says what would be; nothing is guessed. Three options do not need
//! a parser of their own package. Knows nothing of the server.

use std::{env, ffi::OsString, fmt, path::PathBuf};

pub(crate) const HELP: &str = "\
Shows what the session store `sessile` does, as a small web application on this computer.

Usage: sessile-demo [--port N] [--data DIR] [--origin ORIGIN]

Options:
  --port N    listen on 127.0.0.1, port N; 0 takes any free port [default: 3000]
  --data DIR  keep sessions.redb and users.redb in DIR, created if absent [default: demo-data]
  --origin ORIGIN
              serve visitors of ORIGIN, such as https://app.example.com, through a proxy that
              speaks HTTPS; without it, only this computer is served
  --help      print this text

Stop it with Ctrl-C or SIGTERM.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Serve(Options),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    pub(crate) origin: Option<String>,
}

/// Why a command line was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArgsError {
    Unknown(OsString),
    MissingValue(&'static str),
    NotAPort(OsString),
    NotAnOrigin(OsString),
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(found) => write!(f, "there is no option `{}`; see --help", found.display()),
            Self::MissingValue(option) => write!(f, "{option} needs a value after it; see --help"),
            Self::NotAPort(found) => write!(f, "--port takes a number from 0 to 65535, not `{}`", found.display()),
            Self::NotAnOrigin(found) => {
                write!(f, "--origin takes an origin such as https://app.example.com, not `{}`", found.display())
            }
        }
    }
}

impl std::error::Error for ArgsError {}

/// Reads the options of this process.
pub(crate) fn from_env() -> Result<Command, ArgsError> {
    parse(env::args_os().skip(1))
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command, ArgsError> {
    let mut options = Options { port: 3000, data: PathBuf::from("demo-data"), origin: None };
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--port") => options.port = port(args.next().ok_or(ArgsError::MissingValue("--port"))?)?,
            Some("--data") => options.data = directory(args.next())?,
            Some("--origin") => options.origin = Some(origin(args.next().ok_or(ArgsError::MissingValue("--origin"))?)?),
            _ => return Err(ArgsError::Unknown(arg)),
        }
    }
    Ok(Command::Serve(options))
}

fn port(text: OsString) -> Result<u16, ArgsError> {
    text.to_str().and_then(|text| text.parse().ok()).ok_or(ArgsError::NotAPort(text))
}

fn origin(text: OsString) -> Result<String, ArgsError> {
    let found = text.to_str().filter(|text| text.starts_with("https://")).map(str::to_owned);
    found.ok_or(ArgsError::NotAnOrigin(text))
}

fn directory(text: Option<OsString>) -> Result<PathBuf, ArgsError> {
    // An empty value is mostly a shell variable that was never set: it would put the files wherever the program was started.
    text.filter(|text| !text.is_empty()).map(PathBuf::from).ok_or(ArgsError::MissingValue("--data"))
}
