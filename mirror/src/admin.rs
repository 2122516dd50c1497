//! The admin listener: the ledger as JSON, metrics for Prometheus, health. Reading only; it has nothing to change.

use crate::live::Live;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longest request that is read, in bytes.
const MAX_REQUEST: usize = 8 << 10;

/// How long a client may take for its request, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most clients at once.
const CLIENTS: usize = 32;

/// Answers until the task is dropped.
pub(crate) async fn serve(listener: std::net::TcpListener, live: Arc<Live>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for example.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let live = Arc::clone(&live);
        tokio::spawn(async move {
            // A client that is too slow or goes away is none of our business.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &live)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, live: &Live) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|&b| b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/ledger") => ("200 OK", "application/json", live.ledger_json()),
        ("GET" | "HEAD", "/metrics") => ("200 OK", "text/plain; version=0.0.4", live.metrics()),
        ("GET" | "HEAD", "/health") => ("200 OK", "text/plain", "ok\n".to_owned()),
        ("GET" | "HEAD", _) => {
            ("404 Not Found", "text/plain", "There are /ledger, /metrics and /health.\n".to_owned())
        }
        _ => ("405 Method Not Allowed", "text/plain", "Only GET and HEAD.\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
