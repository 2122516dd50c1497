//! A network as sections of a map file.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::octets::{Read, Reader, Writer};
use crate::network::{
    Fallback, MOST_ADDRESSES, MOST_FEATURES, MOST_RANKED, NameServer, Network, Order, Ranked, Server,
    Service, Site, SiteId, UnitId, Units,
};

pub(super) struct Section {
    pub number: u16,
    write: fn(&mut Writer, &Network),
    pub read: fn(&mut Reader<'_>, &mut Network) -> Read<()>,
}

pub(super) const SECTIONS: &[Section] = &[
    Section { number: 1, write: write_features, read: read_features },
    Section { number: 2, write: write_sites, read: read_sites },
    Section { number: 3, write: write_servers, read: read_servers },
    Section { number: 4, write: write_server_names, read: read_server_names },
    Section { number: 5, write: write_services, read: read_services },
    Section { number: 6, write: write_units, read: read_units },
    Section { number: 7, write: write_v4, read: read_v4 },
    Section { number: 8, write: write_v6, read: read_v6 },
];

pub(super) fn write(network: &Network) -> Vec<(u16, Vec<u8>)> {
    let section = |section: &Section| {
        let mut writer = Writer::default();
        (section.write)(&mut writer, network);
        (section.number, writer.0)
    };
    SECTIONS.iter().map(section).collect()
}

/// What holds of all parts together.
pub(super) fn check(network: &Network) -> Result<(), &'static str> {
    let (sites, servers, units) = (network.sites.len(), network.servers.len(), network.units.len());
    let mut next = 0;
    for site in &network.sites {
        if site.servers.start != next || site.servers.end < next || site.servers.end as usize > servers {
            return Err("the servers of sites do not follow one another");
        }
        next = site.servers.end;
    }
    if next as usize != servers || network.server_names.len() != servers {
        return Err("there are servers without a site or a name");
    }
    for (site, number) in network.sites.iter().zip(0..) {
        if network.servers[site.servers.start as usize..site.servers.end as usize]
            .iter()
            .any(|server| server.site != SiteId(number))
        {
            return Err("a server is at another site than its neighbours");
        }
    }
    if network.units.ranked.iter().any(|ranked| ranked.site.0 as usize >= sites) {
        return Err("a ranking names a site that is not there");
    }
    let there = |unit: &UnitId| (unit.0 as usize) < units;
    if !network.prefixes.v4.iter().all(|(_, unit)| there(unit))
        || !network.prefixes.v6.iter().all(|(_, unit)| there(unit))
    {
        return Err("a prefix names a unit that is not there");
    }
    let fallback =
        |service: &Service| matches!(service.fallback, Fallback::Site(site) if site.0 as usize >= sites);
    if network.services.iter().any(fallback) {
        return Err("a service falls back to a site that is not there");
    }
    Ok(())
}

fn write_features(writer: &mut Writer, network: &Network) {
    writer.count(network.features.len());
    network.features.iter().for_each(|name| writer.text(name.as_bytes()));
}

fn read_features(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(2)?;
    if count > MOST_FEATURES {
        return Err(reader.malformed("has too many features"));
    }
    network.features = (0..count).map(|_| reader.text()).collect::<Read<_>>()?;
    Ok(())
}

fn write_addresses(writer: &mut Writer, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) {
    writer.u8(u8::from(v4.is_some()) | u8::from(v6.is_some()) << 1);
    writer.0.extend(v4.map(|v4| v4.octets()).unwrap_or_default());
    writer.0.extend(v6.map(|v6| v6.octets()).unwrap_or_default());
}

fn read_addresses(reader: &mut Reader<'_>) -> Read<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let which = reader.u8()?;
    let (mut four, mut six) = ([0; 4], [0; 16]);
    four.copy_from_slice(reader.take(4)?);
    six.copy_from_slice(reader.take(16)?);
    if which > 3 {
        return Err(reader.malformed("says what cannot be"));
    }
    Ok(((which & 1 != 0).then(|| four.into()), (which & 2 != 0).then(|| six.into())))
}

fn write_sites(writer: &mut Writer, network: &Network) {
    writer.count(network.sites.len());
    for site in &network.sites {
        writer.text(site.name.as_bytes());
        writer.u32(site.domain);
        writer.u32(site.latitude.to_bits());
        writer.u32(site.longitude.to_bits());
        writer.u32(site.asn);
        writer.u32(site.bandwidth);
        writer.u32(site.servers.start);
        writer.u32(site.servers.end);
        writer.count(site.name_servers.len());
        for server in &site.name_servers {
            write_addresses(writer, server.v4, server.v6);
        }
    }
}

fn read_sites(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(34)?;
    network.sites.reserve(count);
    for _ in 0..count {
        let name = reader.text()?;
        let domain = reader.u32()?;
        let (latitude, longitude) = (f32::from_bits(reader.u32()?), f32::from_bits(reader.u32()?));
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err(reader.malformed("has a site that is not on Earth"));
        }
        let (asn, bandwidth, start, end) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        let servers = reader.count(21)?;
        let mut name_servers = Vec::with_capacity(servers);
        for _ in 0..servers {
            let (v4, v6) = read_addresses(reader)?;
            name_servers.push(NameServer { v4, v6 });
        }
        network.sites.push(Site {
            name,
            domain,
            latitude,
            longitude,
            asn,
            bandwidth,
            servers: start..end,
            name_servers,
        });
    }
    Ok(())
}

/// Octets of a server.
const SERVER: usize = 47;

fn write_servers(writer: &mut Writer, network: &Network) {
    writer.count(network.servers.len());
    for server in &network.servers {
        writer.u64(server.key);
        writer.u32(server.site.0);
        write_addresses(writer, server.v4, server.v6);
        writer.u32(server.capacity);
        writer.u16(server.rack);
        writer.u64(server.features);
    }
}

fn read_servers(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(SERVER)?;
    network.servers.reserve(count);
    for _ in 0..count {
        let (key, site) = (reader.u64()?, SiteId(reader.u32()?));
        let (v4, v6) = read_addresses(reader)?;
        let (capacity, rack, features) = (reader.u32()?, reader.u16()?, reader.u64()?);
        if capacity == 0 {
            return Err(reader.malformed("has a server without capacity"));
        }
        network.servers.push(Server { key, site, v4, v6, capacity, rack, features });
    }
    Ok(())
}

fn write_server_names(writer: &mut Writer, network: &Network) {
    writer.count(network.server_names.len());
    network.server_names.iter().for_each(|name| writer.text(name.as_bytes()));
}

fn read_server_names(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(2)?;
    network.server_names = (0..count).map(|_| reader.text()).collect::<Read<_>>()?;
    Ok(())
}

fn write_services(writer: &mut Writer, network: &Network) {
    writer.count(network.services.len());
    for service in &network.services {
        writer.text(service.name.as_bytes());
        writer.count(service.hosts.len());
        service.hosts.iter().for_each(|host| writer.text(host.as_bytes()));
        writer.u64(service.needs);
        writer.u8(service.copies);
        writer.u8(service.near);
        writer.u8(service.elsewhere);
        writer.u32(service.ttl);
        writer.u8(match service.order {
            Order::Fixed => 0,
            Order::Rotated => 1,
            Order::Random => 2,
        });
        match &service.fallback {
            Fallback::LastKnown => writer.u8(0),
            Fallback::Site(site) => {
                writer.u8(1);
                writer.u32(site.0);
            }
            Fallback::Alias(alias) => {
                writer.u8(2);
                writer.text(alias.as_bytes());
            }
        }
        writer.u8(u8::from(service.https.is_some()));
        if let Some(https) = &service.https {
            writer.text(https);
        }
    }
}

fn read_services(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(24)?;
    for _ in 0..count {
        let name = reader.text()?;
        let hosts = reader.count(2)?;
        let hosts = (0..hosts).map(|_| reader.text()).collect::<Read<Vec<String>>>()?;
        let needs = reader.u64()?;
        let (copies, near, elsewhere, ttl) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u32()?);
        let most = MOST_ADDRESSES as u8;
        if copies == 0 || !(1..=most).contains(&near) || elsewhere > most {
            return Err(reader.malformed("has a service whose numbers are out of bounds"));
        }
        let order = match reader.u8()? {
            0 => Order::Fixed,
            1 => Order::Rotated,
            2 => Order::Random,
            _ => return Err(reader.malformed("says what cannot be")),
        };
        let fallback = match reader.u8()? {
            0 => Fallback::LastKnown,
            1 => Fallback::Site(SiteId(reader.u32()?)),
            2 => Fallback::Alias(reader.text()?),
            _ => return Err(reader.malformed("says what cannot be")),
        };
        let https = match reader.u8()? {
            0 => None,
            1 => Some(reader.octets()?.to_vec()),
            _ => return Err(reader.malformed("says what cannot be")),
        };
        network.services.push(Service {
            name,
            hosts,
            needs,
            copies,
            near,
            elsewhere,
            ttl,
            order,
            fallback,
            https,
        });
    }
    Ok(())
}

fn write_units(writer: &mut Writer, network: &Network) {
    let units = &network.units;
    writer.count(units.len());
    let mut start = 0;
    for end in &units.ends {
        // At most 16 each.
        writer.u8((end - start) as u8);
        start = *end;
    }
    units.keys.iter().for_each(|key| writer.u64(*key));
    units.demand.iter().for_each(|demand| writer.u32(*demand));
    writer.0.reserve(units.ranked.len() * 9);
    for ranked in &units.ranked {
        writer.u32(ranked.site.0);
        writer.u32(ranked.score);
        writer.u8(ranked.confidence);
    }
}

fn read_units(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(13)?;
    let mut ends = Vec::with_capacity(count);
    let mut all = 0_u32;
    for &length in reader.take(count)? {
        if usize::from(length) > MOST_RANKED {
            return Err(reader.malformed("has a ranking that is too long"));
        }
        all = all.checked_add(u32::from(length)).ok_or_else(|| reader.malformed("has too many rankings"))?;
        ends.push(all);
    }
    let keys = reader.rows::<8>(count)?.iter().map(|row| u64::from_le_bytes(*row)).collect();
    let demand = reader.rows::<4>(count)?.iter().map(|row| u32::from_le_bytes(*row)).collect();
    let ranked = reader.rows::<9>(all as usize)?.iter().map(|&[a, b, c, d, e, f, g, h, confidence]| Ranked {
        site: SiteId(u32::from_le_bytes([a, b, c, d])),
        score: u32::from_le_bytes([e, f, g, h]),
        confidence,
    });
    network.units = Units { ranked: ranked.collect(), ends, keys, demand };
    Ok(())
}

fn write_v4(writer: &mut Writer, network: &Network) {
    writer.count(network.prefixes.v4.len());
    for (start, unit) in &network.prefixes.v4 {
        writer.u32(*start);
        writer.u32(unit.0);
    }
}

fn write_v6(writer: &mut Writer, network: &Network) {
    writer.count(network.prefixes.v6.len());
    for (start, unit) in &network.prefixes.v6 {
        writer.u64(*start);
        writer.u32(unit.0);
    }
}

fn runs<A: Ord + Default + Copy>(reader: &Reader<'_>, runs: &[(A, UnitId)]) -> Read<()> {
    let ascending = runs.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let whole = runs.first().is_none_or(|(start, _)| *start == A::default());
    if ascending && whole { Ok(()) } else { Err(reader.malformed("has addresses out of order")) }
}

fn read_v4(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(8)?;
    let row = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (u32::from_le_bytes([a, b, c, d]), UnitId(u32::from_le_bytes([e, f, g, h])))
    };
    network.prefixes.v4 = reader.rows::<8>(count)?.iter().map(row).collect();
    runs(reader, &network.prefixes.v4)
}

fn read_v6(reader: &mut Reader<'_>, network: &mut Network) -> Read<()> {
    let count = reader.count(12)?;
    let row = |row: &[u8; 12]| {
        let &[a, b, c, d, e, f, g, h, i, j, k, l] = row;
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), UnitId(u32::from_le_bytes([i, j, k, l])))
    };
    network.prefixes.v6 = reader.rows::<12>(count)?.iter().map(row).collect();
    runs(reader, &network.prefixes.v6)
}
