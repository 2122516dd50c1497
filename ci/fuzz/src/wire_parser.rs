//! `wire::Parser`, one direction: any cutting gives the same messages, each byte is counted, and a clean message that
//! is printed parses to itself.

use crate::input::{Input, pieces};
use bytes::Bytes;
use exchange::{Ending, Fields, Seen, Time};
use wire::{Asked, Assembler, Close, Error, Event, Head, Limits, MessageEnd, Parser};

/// An event without its times, and with what depends on cutting put together.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Head(Box<Head>),
    Body(Vec<u8>),
    Trailers(Fields, Bytes),
    End(MessageEnd),
    Tunnel(Vec<u8>),
    Partial(Bytes),
    Resumed(u64),
    Failed(Error),
}

/// Small bounds, so that short inputs reach them.
fn limits(small: bool) -> Limits {
    let default = Limits::default();
    if !small {
        return default;
    }
    Limits {
        head: 300,
        fields: 6,
        chunk_line: 12,
        extensions: 100,
        trailers: 40,
        anomalies: 4,
        interim: 2,
        ..default
    }
}

fn parse(mut parser: Parser, pieces: &[Bytes], tunnel: bool) -> Vec<Found> {
    let mut found = Vec::new();
    for piece in pieces {
        parser.push(Time(1), piece.clone());
        drain(&mut parser, tunnel, &mut found);
    }
    parser.finish(Time(2), Close::Fin);
    drain(&mut parser, tunnel, &mut found);
    let counts = parser.counts();
    assert!(counts.balance(), "{counts:?}");
    assert_eq!(counts.waiting, 0, "all was pushed and ended: {counts:?}");
    let bodies: usize = found.iter().map(|f| if let Found::Body(body) = f { body.len() } else { 0 }).sum();
    assert_eq!(counts.bodies, bodies as u64);
    found
}

fn drain(parser: &mut Parser, tunnel: bool, found: &mut Vec<Found>) {
    loop {
        match parser.next_event() {
            Some(event) => add(found, event),
            None if parser.awaits_switch() => parser.switch(tunnel),
            None => return,
        }
    }
}

fn add(found: &mut Vec<Found>, event: Result<Event, Error>) {
    let next = match event {
        Ok(Event::Head(mut head)) => {
            (head.start, head.end) = (Time(0), Time(0));
            Found::Head(head)
        }
        Ok(Event::Body { bytes, .. }) => match found.last_mut() {
            Some(Found::Body(body)) => return body.extend_from_slice(&bytes),
            _ => Found::Body(bytes.to_vec()),
        },
        Ok(Event::Tunnel { bytes, .. }) => match found.last_mut() {
            Some(Found::Tunnel(tunnel)) => return tunnel.extend_from_slice(&bytes),
            _ => Found::Tunnel(bytes.to_vec()),
        },
        Ok(Event::Trailers(trailers)) => Found::Trailers(trailers.fields, trailers.raw),
        Ok(Event::End(end)) => {
            let error = end.error.map(without_sample);
            Found::End(MessageEnd { time: Time(0), error, ..end })
        }
        Ok(Event::PartialHead { raw, .. }) => Found::Partial(raw),
        Ok(Event::Resumed { skipped, .. }) => Found::Resumed(skipped),
        Err(error) => Found::Failed(without_sample(error)),
    };
    found.push(next);
}

/// An error without the bytes it shows, which are those that were there when it was found.
pub(crate) fn without_sample(error: Error) -> Error {
    Error { near: Bytes::new(), ..error }
}

/// Each head has one end; nothing follows an error.
fn well_formed(found: &[Found]) {
    let mut open = false;
    for (at, one) in found.iter().enumerate() {
        match one {
            Found::Head(_) => assert!(!std::mem::replace(&mut open, true), "a head inside a message"),
            Found::Body(_) | Found::Trailers(..) => assert!(open, "content outside a message"),
            Found::End(_) => assert!(std::mem::take(&mut open), "an end without a head"),
            Found::Failed(_) => assert_eq!(at + 1, found.len(), "something follows an error"),
            Found::Tunnel(_) | Found::Partial(_) => assert!(!open),
            Found::Resumed(_) => panic!("no gap was told of"),
        }
    }
    assert!(!open, "a message without an end");
}

/// Whether a message came whole and without any liberty taken.
fn clean(notes: &wire::Notes, ending: Ending) -> bool {
    notes.anomalies.is_empty() && notes.error.is_none() && ending == Ending::Complete
}

fn events(mut parser: Parser, bytes: &[u8]) -> Vec<Event> {
    parser.push(Time(1), Bytes::copy_from_slice(bytes));
    parser.finish(Time(2), Close::Fin);
    let mut events = Vec::new();
    loop {
        match parser.next_event() {
            Some(Ok(event)) => events.push(event),
            Some(Err(_)) => return events,
            None if parser.awaits_switch() => parser.switch(false),
            None => return events,
        }
    }
}

/// The events of each message by itself.
fn messages(parser: Parser, bytes: &[u8]) -> Vec<Assembler> {
    let keep = Limits::default();
    let (mut all, mut now) = (Vec::new(), Assembler::new(&keep));
    for event in events(parser, bytes) {
        now.add(event);
        if now.is_complete() {
            all.push(std::mem::replace(&mut now, Assembler::new(&keep)));
        }
    }
    all
}

pub(crate) fn requests(input: &[u8]) {
    let mut input = Input(input);
    let (cut, choice) = (input.word(), input.byte());
    let parser = || Parser::requests(limits(choice & 1 != 0));
    let tunnel = choice & 2 != 0;
    let whole = parse(parser(), &pieces(input.0, 0), tunnel);
    well_formed(&whole);
    assert_eq!(parse(parser(), &pieces(input.0, cut), tunnel), whole, "cut differently");

    for message in messages(Parser::requests(Limits::default()), input.0) {
        let (Some(request), notes) = message.into_request(Seen::default()) else { continue };
        if !clean(&notes, request.body.ending) {
            continue;
        }
        let printed = wire::write::request(&request);
        let mut again = messages(Parser::requests(Limits::default()), &printed);
        assert_eq!(again.len(), 1, "{}", exchange::escape(&printed));
        let (again, notes_again) = again.remove(0).into_request(Seen::default());
        let again = again.unwrap();
        assert_eq!(
            (&again.method, &again.target, &again.fields, &again.body, &again.trailers, again.version),
            (
                &request.method,
                &request.target,
                &request.fields,
                &request.body,
                &request.trailers,
                request.version
            )
        );
        assert!(notes_again.anomalies.is_empty(), "{:?}", notes_again.anomalies);
    }
}

/// A parser that was told of up to seven requests.
fn response_parser(choice: u8, mut asked: u8) -> Parser {
    let mut parser = Parser::responses(limits(choice & 1 != 0));
    for _ in 0..choice >> 5 {
        parser.expect(Asked { head: asked & 1 != 0, connect: asked & 6 == 6, http09: asked & 24 == 24 });
        asked = asked.rotate_right(3);
    }
    parser
}

pub(crate) fn responses(input: &[u8]) {
    let mut input = Input(input);
    let (cut, choice, asked) = (input.word(), input.byte(), input.byte());
    let whole = parse(response_parser(choice, asked), &pieces(input.0, 0), false);
    well_formed(&whole);
    assert_eq!(parse(response_parser(choice, asked), &pieces(input.0, cut), false), whole, "cut differently");

    // Told of one request each, so that no response is one that nobody asked for.
    let parser = || {
        let mut parser = Parser::responses(Limits::default());
        (0..64).for_each(|_| parser.expect(Asked::default()));
        parser
    };
    for message in messages(parser(), input.0) {
        let (Some(response), notes) = message.into_response(Seen::default()) else { continue };
        if !clean(&notes, response.body.ending) {
            continue;
        }
        let printed = wire::write::response(&response);
        let mut again = messages(parser(), &printed);
        let shown = || exchange::escape(&printed);
        // An interim response ends by itself, its final one after it.
        let (again, notes_again) =
            again.pop().unwrap_or_else(|| panic!("{}", shown())).into_response(Seen::default());
        let again = again.unwrap();
        assert_eq!(
            (again.status, &again.reason, &again.fields, &again.body, &again.trailers, again.version),
            (
                response.status,
                &response.reason,
                &response.fields,
                &response.body,
                &response.trailers,
                response.version
            ),
            "{}",
            shown()
        );
        assert!(notes_again.anomalies.is_empty(), "{:?}", notes_again.anomalies);
    }
}
