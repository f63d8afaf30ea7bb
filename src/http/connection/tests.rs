//! One connection of HTTP/2, spoken to by a client of that: what its bounds do.

use std::time::Duration;

use h2::client::{SendRequest, handshake};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::http::accept::tests::{HOUR, PATIENCE, SHORT, Served, send, serve};

type Client = SendRequest<axum::body::Bytes>;

async fn client(served: &Served) -> Client {
    let stream = TcpStream::connect(served.address).await.expect("connects");
    stream.set_nodelay(true).expect("a socket");
    let (client, connection) = handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client.ready().await.expect("ready")
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://x{path}")).body(()).expect("a request")
}

/// The status and the body of an answer.
async fn read(answer: h2::client::ResponseFuture) -> (u16, Vec<u8>) {
    let answer = answer.await.expect("an answer");
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("a part of the body");
        body.flow_control().release_capacity(data.len()).expect("was counted");
        bytes.extend_from_slice(&data);
    }
    (status, bytes)
}

async fn get(client: &mut Client, path: &str) -> (u16, Vec<u8>) {
    let (answer, _) = client.send_request(request("GET", path), true).expect("sent");
    read(answer).await
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a client begins with, saying `settings`.
fn beginning(settings: &[u8]) -> Vec<u8> {
    [&PREFACE[..], &frame(SETTINGS, 0, 0, settings)].concat()
}

/// A GET's fields: method and scheme from HPACK's static table, a path and an authority as they are.
fn fields(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, path.len() as u8];
    block.extend(path.bytes());
    block.extend([0x01, 1, b'x']);
    block
}

fn get_frame(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(path))
}

/// The next frame: its kind, its stream and its payload; `None` at the end, in order or not.
async fn next_frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

/// Reads until the server closes.
async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    while next_frame(stream).await.is_some() {}
}

#[tokio::test]
async fn many_requests_go_over_one_connection_at_once() {
    let served = serve(ConnectionLimits::default()).await;
    let mut client = client(&served).await;
    let (held, _) = client.send_request(request("GET", "/held"), true).expect("sent");
    served.toy.entered.notified().await;
    assert_eq!(get(&mut client, "/hello").await, (200, b"hello".to_vec()));
    let (echoed, mut body) = client.send_request(request("POST", "/"), false).expect("sent");
    body.send_data("we".into(), false).expect("sent");
    body.send_data("ll".into(), true).expect("sent");
    assert_eq!(read(echoed).await, (200, b"well".to_vec()));
    let (status, big) = get(&mut client, "/big").await;
    assert!(status == 200 && big.len() == 64 << 20 && big.iter().all(|byte| *byte == b'x'));
    served.toy.release.notify_one();
    assert_eq!(read(held).await, (200, b"released".to_vec()));
}

#[tokio::test]
async fn a_preface_in_pieces_is_a_preface() {
    let served = serve(ConnectionLimits::default()).await;
    let mut stream = send(served.address, b"").await;
    for byte in [beginning(&[]), get_frame(1, "/hello")].concat() {
        stream.write_u8(byte).await.expect("sends");
        tokio::task::yield_now().await;
    }
    while !matches!(next_frame(&mut stream).await.expect("an answer"), (0, 1, body) if body == b"hello") {}
}

#[tokio::test]
async fn a_refused_body_ends_its_stream_and_no_other() {
    let served = serve(ConnectionLimits::default()).await;
    let mut client = client(&served).await;
    let (refused, mut body) = client.send_request(request("POST", "/"), false).expect("sent");
    body.send_data(vec![b'x'; 64 << 10].into(), false).expect("sent");
    let answer = refused.await.expect("an answer");
    assert_eq!(answer.status(), 413);
    assert!(!answer.headers().contains_key(CONNECTION));
    assert_eq!(get(&mut client, "/hello").await.0, 200);
}

#[tokio::test]
async fn streams_over_the_bound_are_refused() {
    let served = serve(ConnectionLimits::default()).await;
    let mut stream = send(served.address, &beginning(&[])).await;
    let many = (0..=limits::H2_STREAMS_MAX).flat_map(|number| get_frame(2 * number + 1, "/held"));
    stream.write_all(&many.collect::<Vec<u8>>()).await.expect("sends");
    let refused = loop {
        if let (RESET, stream, reason) = next_frame(&mut stream).await.expect("a refusal") {
            break (stream, reason);
        }
    };
    assert_eq!(refused, (2 * limits::H2_STREAMS_MAX + 1, 7_u32.to_be_bytes().to_vec()), "REFUSED_STREAM");
}

#[tokio::test]
async fn a_long_header_list_is_refused() {
    let served = serve(ConnectionLimits::default()).await;
    let mut stream = send(served.address, &beginning(&[])).await;
    // A field without a name in the table: its name, then a length of 127 and the rest in base 128.
    let value = vec![b'y'; 100 << 10];
    let mut block = fields("/hello");
    block.extend([0x00, 1, b'z', 0x7f]);
    let mut length = value.len() - 127;
    while length >= 128 {
        block.push((length % 128 + 128) as u8);
        length /= 128;
    }
    block.push(length as u8);
    block.extend(value);
    let parts: Vec<&[u8]> = block.chunks(16 << 10).collect();
    let mut bytes = frame(HEADERS, END_STREAM, 1, parts[0]);
    for (at, part) in parts.iter().enumerate().skip(1) {
        bytes.extend(frame(CONTINUATION, if at + 1 == parts.len() { END_HEADERS } else { 0 }, 1, part));
    }
    // It may be cut off before it has said all.
    let _ = stream.write_all(&bytes).await;
    while let Some((kind, _, payload)) = next_frame(&mut stream).await {
        if kind == HEADERS {
            assert_eq!(payload, [0x48, 0x83, 0x69, 0x90, 0xff], "`:status` and 431 in Huffman's code");
        }
        assert!(kind != 0, "the request was answered");
        if kind == HEADERS || kind == RESET {
            break;
        }
    }
}

#[tokio::test]
async fn requests_taken_back_at_once_end_the_connection() {
    let served = serve(ConnectionLimits::default()).await;
    let mut stream = send(served.address, &beginning(&[])).await;
    let cancel = 8_u32.to_be_bytes();
    let flood = (0..1_000)
        .flat_map(|number| [get_frame(2 * number + 1, "/held"), frame(RESET, 0, 2 * number + 1, &cancel)].concat());
    // It may be cut off before it has said all.
    let _ = stream.write_all(&flood.collect::<Vec<u8>>()).await;
    closed(&mut stream).await;
}

#[tokio::test]
async fn requests_taken_back_again_and_again_end_the_connection() {
    let served = serve(ConnectionLimits::default()).await;
    let mut client = client(&served).await;
    let mut taken_back = 0;
    let ended = loop {
        let Ok(ready) = client.clone().ready().await else { break taken_back };
        client = ready;
        let Ok((answer, mut stream)) = client.send_request(request("GET", "/held"), false) else {
            break taken_back;
        };
        tokio::select! {
            () = served.toy.entered.notified() => {}
            _ = answer => break taken_back,
        }
        stream.send_reset(h2::Reason::CANCEL);
        taken_back += 1;
        assert!(taken_back < 10 * limits::H2_ABANDONED_MAX, "it is never enough");
    };
    assert!(ended >= limits::H2_ABANDONED_MAX, "cut off after {ended}");
}

#[tokio::test]
async fn taking_back_now_and_then_is_borne() {
    let served = serve(ConnectionLimits::default()).await;
    let mut client = client(&served).await;
    for _ in 0..2 * limits::H2_ABANDONED_MAX {
        let (_, mut stream) = client.send_request(request("GET", "/held"), false).expect("sent");
        served.toy.entered.notified().await;
        stream.send_reset(h2::Reason::CANCEL);
        assert_eq!(get(&mut client, "/hello").await.0, 200);
    }
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    let served = serve(ConnectionLimits::default()).await;
    let (mut read, mut write) = send(served.address, &beginning(&[])).await.into_split();
    let flood = frame(PING, 0, 0, &[7; 8]).repeat(2 * limits::H2_IDLE_BYTES_MAX / 17);
    let sending = tokio::spawn(async move { write.write_all(&flood).await });
    closed(&mut read).await;
    // It may be cut off before it has said all.
    let _ = sending.await.expect("no panic");
}

#[tokio::test]
async fn an_answer_whose_window_stays_shut_ends_the_connection() {
    let limits = ConnectionLimits { connections: 1, write_stall: SHORT, ..ConnectionLimits::default() };
    let served = serve(limits).await;
    // SETTINGS_INITIAL_WINDOW_SIZE, nothing.
    let mut stream = send(served.address, &beginning(&[0, 4, 0, 0, 0, 0])).await;
    stream.write_all(&get_frame(1, "/big")).await.expect("sends");
    closed(&mut stream).await;
    // The one place is free again.
    assert_eq!(get(&mut client(&served).await, "/hello").await.0, 200);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let limits = ConnectionLimits { idle_time: SHORT, write_stall: SHORT, ..ConnectionLimits::default() };
    let served = serve(limits).await;
    let mut silent = send(served.address, &beginning(&[])).await;
    closed(&mut silent).await;
    let mut used = send(served.address, &[beginning(&[]), get_frame(1, "/hello")].concat()).await;
    closed(&mut used).await;
}

#[tokio::test]
async fn half_a_preface_is_cut_off() {
    let served = serve(ConnectionLimits { header_time: SHORT, ..ConnectionLimits::default() }).await;
    closed(&mut send(served.address, &PREFACE[..20]).await).await;
}

#[tokio::test]
async fn who_answers_no_ping_is_cut_off() {
    let limits = ConnectionLimits { ping_interval: SHORT, ping_time: SHORT, ..ConnectionLimits::default() };
    let served = serve(limits).await;
    let mut stream = send(served.address, &[beginning(&[]), get_frame(1, "/held")].concat()).await;
    closed(&mut stream).await;
}

#[tokio::test]
async fn a_stop_answers_the_streams_in_flight() {
    let served = serve(ConnectionLimits::default()).await;
    let mut client = client(&served).await;
    let (held, _) = client.send_request(request("GET", "/held"), true).expect("sent");
    served.toy.entered.notified().await;
    served.stop.send(()).expect("running");
    while client.clone().ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    served.toy.release.notify_one();
    assert_eq!(read(held).await, (200, b"released".to_vec()));
    served.ended.await.expect("ended");
}

#[tokio::test]
async fn a_stop_answers_requests_and_does_not_wait_for_what_has_no_end() {
    let limits = ConnectionLimits { stream_stop: SHORT, stop_time: HOUR, ..ConnectionLimits::default() };
    let served = serve(limits).await;
    let mut client = client(&served).await;
    let (endless, _) = client.send_request(request("GET", "/endless"), true).expect("sent");
    let (held, _) = client.send_request(request("GET", "/held"), true).expect("sent");
    served.toy.entered.notified().await;
    let _endless = endless.await.expect("an answer");
    served.stop.send(()).expect("running");
    tokio::time::sleep(3 * SHORT).await;
    served.toy.release.notify_one();
    assert_eq!(read(held).await, (200, b"released".to_vec()));
    drop(client);
    timeout(PATIENCE, served.ended).await.expect("it waits for a stream").expect("ended");
}
