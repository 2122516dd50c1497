//! Conditions as a section of a map file: only what is not the default is written, so that a second's change is small.

use super::octets::{Read, Reader, Writer};
use crate::conditions::{Conditions, Hot, PARTS, ServerNow, SiteNow, Standing};
use crate::network::{Network, SiteId};

pub(super) const NUMBER: u16 = 1;

const BUSY: u8 = 0x80;

pub(super) fn write(conditions: &Conditions) -> Vec<(u16, Vec<u8>)> {
    let mut writer = Writer::default();
    writer.count(conditions.servers.len());
    let servers: Vec<(u32, &ServerNow)> =
        (0..).zip(&conditions.servers).filter(|(_, now)| **now != ServerNow::default()).collect();
    writer.count(servers.len());
    for (at, now) in servers {
        writer.u32(at);
        writer.u8(now.standing as u8 | if now.busy { BUSY } else { 0 });
        writer.u16(now.spread);
    }
    writer.count(conditions.sites.len());
    let sites: Vec<(u32, &SiteNow)> =
        (0..).zip(&conditions.sites).filter(|(_, now)| **now != SiteNow::default()).collect();
    writer.count(sites.len());
    for (at, now) in sites {
        writer.u32(at);
        writer.u8(if now.names_down { BUSY } else { 0 });
        writer.u16(now.shifted.into());
    }
    writer.count(conditions.hot.len());
    for hot in &conditions.hot {
        writer.u32(hot.site.0);
        writer.u64(hot.content);
        writer.u16(hot.copies);
    }
    vec![(NUMBER, writer.0)]
}

/// A list of all things, of which only some are written.
fn sparse<T: Default + Clone>(
    reader: &mut Reader<'_>,
    most: usize,
    mut row: impl FnMut(u8, u16) -> Option<T>,
) -> Read<Vec<T>> {
    let whole = reader.u32()? as usize;
    if whole > most {
        return Err(reader.malformed("has more servers or sites than its network"));
    }
    let mut list = vec![T::default(); whole];
    let count = reader.count(7)?;
    let mut before = None;
    for _ in 0..count {
        let (at, flags, parts) = (reader.u32()?, reader.u8()?, reader.u16()?);
        if before.is_some_and(|before| at <= before) || at as usize >= whole {
            return Err(reader.malformed("is out of order"));
        }
        before = Some(at);
        match row(flags, parts) {
            Some(value) => list[at as usize] = value,
            None => return Err(reader.malformed("says what cannot be")),
        }
    }
    Ok(list)
}

pub(super) fn read(reader: &mut Reader<'_>, network: &Network) -> Read<Conditions> {
    let servers = sparse(reader, network.servers.len(), |flags, spread| {
        let standing = match flags & !BUSY {
            0 => Standing::Serving,
            1 => Standing::Overloaded,
            2 => Standing::Failed,
            3 => Standing::Withdrawn,
            4 => Standing::Leaving,
            _ => return None,
        };
        Some(ServerNow { standing, busy: flags & BUSY != 0, spread })
    })?;
    let sites = sparse(reader, network.sites.len(), |flags, shifted| {
        let shifted = u8::try_from(shifted).ok().filter(|shifted| *shifted <= PARTS && flags & !BUSY == 0)?;
        Some(SiteNow { shifted, names_down: flags & BUSY != 0 })
    })?;
    let count = reader.count(14)?;
    let mut hot: Vec<Hot> = Vec::with_capacity(count);
    for _ in 0..count {
        let one = Hot { site: SiteId(reader.u32()?), content: reader.u64()?, copies: reader.u16()? };
        if one.site.0 as usize >= network.sites.len()
            || hot.last().is_some_and(|last| (last.site, last.content) >= (one.site, one.content))
        {
            return Err(reader.malformed("is out of order"));
        }
        hot.push(one);
    }
    Ok(Conditions { servers, sites, hot })
}
