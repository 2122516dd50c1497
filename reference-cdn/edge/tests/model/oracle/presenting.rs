//! Is an answer made of a certain response as the client's conditions and ranges say (RFC 9110 sections 13 to 15)?

use std::ops::Range;

use crate::message::{Answer, Asked, Fields, seconds};
use crate::world::{Body, listed};

/// What an answer may be made of.
pub struct Source<'a> {
    pub status: u16,
    pub head: &'a Fields,
    pub body: &'a Body,
    /// The octets of it that are there.
    pub have: Vec<Range<usize>>,
    /// They ended early: so must the answer.
    pub cut: bool,
}

/// Do If-None-Match or If-Modified-Since lead to 304 (RFC 9110 section 13.2.2)?
pub fn unmodified(request: &Fields, head: &Fields, date: u64) -> bool {
    if let Some(list) = request.get("if-none-match") {
        return list == "*" || head.get("etag").is_some_and(|tag| listed(list, tag));
    }
    let since = request.get("if-modified-since").and_then(seconds);
    // RFC 9111 section 4.3.2: Date stands for a missing Last-Modified.
    let modified = head.get("last-modified").map_or(Some(date), seconds);
    since.is_some() && modified <= since
}

/// The fields of a response are those of the answer.
pub fn same_fields(head: &Fields, answer: &Answer, unmodified: bool) -> Result<(), String> {
    let names = ["x-serial", "etag", "cache-control", "cdn-cache-control", "expires", "vary", "date"];
    for name in names {
        let told = answer.fields.get(name);
        if head.get(name).is_some_and(|value| told != Some(value)) {
            return Err(format!("its {name} is {:?}, the answer's {told:?}", head.get(name)));
        }
    }
    let modified = head.get("last-modified");
    if !unmodified && modified.is_some_and(|value| answer.fields.get("last-modified") != Some(value)) {
        return Err("its last-modified is another".into());
    }
    Ok(())
}

/// Checks an answer. `stored`: it comes from the store, its Date being this, and a cache evaluates the conditions it knows.
pub fn presents(
    source: &Source<'_>,
    asked: &Asked,
    answer: &Answer,
    stored: Option<u64>,
) -> Result<(), String> {
    let success = (200..300).contains(&source.status);
    let date = stored.or(source.head.get("date").and_then(seconds)).unwrap_or(0);
    let unmodified = success && unmodified(&asked.fields, source.head, date);
    same_fields(source.head, answer, answer.status == 304)?;
    if answer.status == 304 {
        return match (unmodified, answer.content.is_empty()) {
            (false, _) => Err("304, and the client's condition does not say so".into()),
            (true, false) => Err("a 304 with content".into()),
            (true, true) => Ok(()),
        };
    }
    if unmodified && stored.is_some() {
        return Err("the client has it: 304 was to come (section 4.3.2)".into());
    }
    let ranges = wanted(source, asked);
    match answer.status {
        206 => {
            let ranges = ranges.ok_or("206, and no range was asked for, or not of this response")?;
            parts(source, answer, &ranges)
        }
        416 => match ranges {
            Some(ranges) if ranges.is_empty() && answer.content.is_empty() => Ok(()),
            _ => Err("416, and there is what was asked for".into()),
        },
        status if status == source.status => whole(source, asked, answer),
        other => Err(format!("its status is {}, not {other}", source.status)),
    }
}

/// The octets that the request wants of the response; `None` if Range does not count.
fn wanted(source: &Source<'_>, asked: &Asked) -> Option<Vec<Range<usize>>> {
    let field = asked.fields.get("range").filter(|_| asked.method == "GET" && source.status == 200)?;
    if let Some(given) = asked.fields.get("if-range") {
        // Strong comparison (section 13.1.5).
        let same = source.head.get("etag") == Some(given) && !given.starts_with("W/");
        if !same {
            return None;
        }
    }
    let length = source.body.octets.len();
    let specs = field.strip_prefix("bytes=")?.split(',');
    let range = |spec: &str| -> Option<Range<usize>> {
        let (first, last) = spec.split_once('-')?;
        Some(match (first.parse::<usize>().ok(), last.parse::<usize>().ok()) {
            (Some(first), None) => first..length,
            (Some(first), Some(last)) => first..length.min(last + 1),
            (None, count) => length.saturating_sub(count?)..length,
        })
    };
    let ranges: Option<Vec<_>> = specs.map(range).collect();
    Some(ranges?.into_iter().filter(|range| range.start < range.end).collect())
}

fn is_there(source: &Source<'_>, range: &Range<usize>) -> bool {
    range.clone().all(|at| source.have.iter().any(|have| have.contains(&at)))
}

/// The whole content, or what came of it.
fn whole(source: &Source<'_>, asked: &Asked, answer: &Answer) -> Result<(), String> {
    if asked.method == "HEAD" || source.status == 204 {
        return answer.content.is_empty().then_some(()).ok_or("content where there is none".into());
    }
    octets_are(source, answer, 0..source.body.octets.len())
}

fn octets_are(source: &Source<'_>, answer: &Answer, range: Range<usize>) -> Result<(), String> {
    let there = is_there(source, &range);
    let octets = &source.body.octets[range];
    match answer.complete {
        true if !there => {
            Err(format!("only {:?} of it was there, and the answer looks complete", source.have))
        }
        false if !source.cut => Err("the answer broke off".into()),
        true if octets == answer.content => Ok(()),
        false if octets.starts_with(&answer.content) => Ok(()),
        _ => Err(format!("its content is {}, another one", source.body.name)),
    }
}

/// One part, or several in a multipart.
fn parts(source: &Source<'_>, answer: &Answer, ranges: &[Range<usize>]) -> Result<(), String> {
    let length = source.body.octets.len();
    if let Some(told) = answer.fields.get("content-range") {
        let range = content_range(told, length)?;
        let asked = ranges == [range.clone()];
        // Ranges that touch may come as one (RFC 9110 section 15.3.7.2).
        let joined = ranges.len() > 1 && range.clone().all(|at| ranges.iter().any(|one| one.contains(&at)));
        if !asked && !joined {
            return Err(format!("the part {range:?} was not asked for"));
        }
        return octets_are(source, answer, range);
    }
    let kind = answer.fields.get("content-type").unwrap_or("");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").ok_or("a 206 without a range")?;
    if !answer.complete {
        return if source.cut { Ok(()) } else { Err("the answer broke off".into()) };
    }
    let text = String::from_utf8_lossy(&answer.content).into_owned();
    let delimiter = format!("--{boundary}");
    let mut found = Vec::new();
    for part in text.split(&delimiter).filter(|part| part.contains("Content-Range: ")) {
        let (head, content) = part.split_once("\r\n\r\n").ok_or("a part without a head")?;
        let told = head.split("Content-Range: ").nth(1).unwrap_or("").lines().next().unwrap_or("");
        let range = content_range(told, length)?;
        if !is_there(source, &range)
            || content.strip_suffix("\r\n") != std::str::from_utf8(&source.body.octets[range.clone()]).ok()
        {
            return Err(format!("the part {range:?} has other content"));
        }
        found.push(range);
    }
    if found == ranges { Ok(()) } else { Err(format!("the parts {found:?} came for {ranges:?}")) }
}

fn content_range(told: &str, length: usize) -> Result<Range<usize>, String> {
    let wrong = || format!("Content-Range is {told:?} of {length} octets");
    let (range, complete) =
        told.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let (first, last) = range.split_once('-').ok_or_else(wrong)?;
    let first: usize = first.parse().map_err(|_| wrong())?;
    let last: usize = last.parse().map_err(|_| wrong())?;
    if complete != length.to_string() || last >= length || first > last {
        return Err(wrong());
    }
    Ok(first..last + 1)
}
