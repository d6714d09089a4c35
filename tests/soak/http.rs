//! As much of a browser as the load needs: connections that are kept, and one cookie.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::Result;

pub(crate) struct Client {
    address: SocketAddr,
    idle: Vec<TcpStream>,
    /// How many requests were made.
    pub(crate) made: u64,
}

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: String,
    /// The `name=value` that was set; empty if one was deleted.
    pub(crate) cookie: Option<String>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Vec::new(), made: 0 }
    }

    /// Asks for `path`. What is not a success is an error.
    pub(crate) async fn get(&mut self, path: &str, cookie: Option<&str>) -> Result<Answer> {
        self.made += 1;
        let mut connection = self.connection().await?;
        let answer = ask(&mut connection, path, cookie).await?;
        self.idle.push(connection);
        Ok(answer)
    }

    /// Asks for each of `paths` at once, each over a connection of its own.
    pub(crate) async fn get_all(&mut self, paths: &[String], cookie: &str) -> Result<Vec<Answer>> {
        let mut asked = JoinSet::new();
        for path in paths {
            self.made += 1;
            let (mut connection, path, cookie) = (self.connection().await?, path.clone(), cookie.to_owned());
            asked.spawn(async move { Ok((ask(&mut connection, &path, Some(&cookie)).await?, connection)) });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asked.join_next().await {
            let answer: Result<_> = answer?;
            let (answer, connection) = answer?;
            self.idle.push(connection);
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn connection(&mut self) -> Result<TcpStream> {
        if let Some(connection) = self.idle.pop() {
            return Ok(connection);
        }
        let connection = TcpStream::connect(self.address).await?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }
}

async fn ask(connection: &mut TcpStream, path: &str, cookie: Option<&str>) -> Result<Answer> {
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n").as_bytes()).await?;
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        read_some(connection, &mut bytes).await?;
    };
    let body = bytes.split_off(head + 4);
    let head = String::from_utf8(bytes)?;
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let len: usize = header("content-length").ok_or("an answer without a length")?.parse()?;
    let mut bytes = body;
    while bytes.len() < len {
        read_some(connection, &mut bytes).await?;
    }
    let body = String::from_utf8(bytes)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("{path}: {} {body}", head.lines().next().unwrap_or_default()).into());
    }
    let cookie = header("set-cookie").map(|set| {
        let value = set.split(';').next().unwrap_or_default();
        if set.contains("Max-Age=0") { String::new() } else { value.to_owned() }
    });
    Ok(Answer { body, cookie })
}

async fn read_some(connection: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    if connection.read_buf(bytes).await? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}
