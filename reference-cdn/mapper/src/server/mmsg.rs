//! Many datagrams for one call into the kernel: recvmmsg(2), sendmmsg(2), and the socket options that go with them. The only
//! `unsafe` code of the mapper.
//!
//! ```text
//! slots    name │ control │ vector │ octets      one for each datagram of a batch, filled by recvmmsg
//! asked    header → name, control, vector → octets
//! answers  header → name and control of the slot it answers, vector → room
//! room     response │ response │ …               one after another, so that a batch touches few pages and cache lines
//! ```
//!
//! An answer goes back with the name and the control data that its query came with: no address is copied, and the answer
//! leaves from the address that was asked (the packet information of a query is that of its answer, RFC 3542 section 6.2).
//!
//! Why not the same calls through `nix` 0.32: its sendmmsg sends one list of control data with every message, so that
//! answers of a listener on all addresses could not each have their own source; and its recvmmsg leaves the lengths of names and
//! control data as the call before left them, so that a short one cuts off what comes next in its place. It costs more, too: in
//! one experiment (callgrind, batches of 58, the same responder of 130 instructions around both) a loop on nix took 515
//! instructions for each query, 185 of them to look at what was received; all of a worker's loop on this module, with its checks,
//! counters and guard against panics, which that loop had not, takes 490.
//!
//! Why this is sound: headers point to memory that [`Batch`] owns through raw pointers from the moment it is allocated
//! until it is dropped, and that nothing moves. The kernel writes only within lengths given here. References into that memory are made
//! by methods of `Batch` for as long as it is borrowed, to slots and room that no other reference covers, and the kernel is never
//! called while one exists. `tests/server_memory.rs` runs all of it under Valgrind.

#![allow(unsafe_code, reason = "system calls on memory that is set up once; see above")]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use nix::libc;

/// Most datagrams in a batch.
pub const MOST: usize = 64;
/// Longest query. We offer to take 1232 octets (RFC 6891 section 6.2.3); whoever sends more than this has not asked.
pub const LONGEST_QUERY: usize = 2048;
/// Room for one response. What goes out is shorter: no more than what the network takes whole.
pub const ROOM: usize = 4096;
/// Octets of control data: packet information of either family, in words so that it is aligned.
const CONTROL: usize = 8;

/// Where a datagram lies. Its size is no power of two, so that slots do not compete for the same lines of a cache.
#[repr(C)]
struct Slot {
    name: libc::sockaddr_storage,
    control: [u64; CONTROL],
    vector: libc::iovec,
    octets: [u8; LONGEST_QUERY],
}

/// A datagram as it came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub octets: &'a [u8],
    /// `None` if the kernel named nobody.
    pub peer: Option<SocketAddr>,
    /// The address that was asked, on a socket that tells ([`tell_addresses`]).
    pub local: Option<Local>,
    /// It was longer than [`LONGEST_QUERY`].
    pub cut: bool,
}

/// The address that a datagram was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub address: IpAddr,
    /// Sent to this machine alone, not to a group or everybody.
    pub unicast: bool,
}

/// What became of a batch of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub sent: usize,
    /// Those that the kernel refused.
    pub refused: usize,
}

/// A batch of datagrams, and of answers to them.
#[derive(Debug)]
pub struct Batch {
    slots: NonNull<Slot>,
    room: NonNull<u8>,
    asked: NonNull<libc::mmsghdr>,
    answers: NonNull<libc::mmsghdr>,
    vectors: NonNull<libc::iovec>,
    most: usize,
    /// Slots whose headers the kernel has changed.
    used: usize,
    /// Answers waiting, and the octets of room that they take.
    waiting: usize,
    taken: usize,
}

// SAFETY: a batch owns what its pointers lead to, and shares it with nobody.
unsafe impl Send for Batch {}

/// Memory for `count` values that are all zero, owned through the pointer.
///
/// # Safety
/// A `T` of zeros is valid.
unsafe fn zeroed<T>(count: usize) -> NonNull<T> {
    let memory: Box<[MaybeUninit<T>]> = (0..count).map(|_| MaybeUninit::zeroed()).collect();
    // SAFETY: a box's pointer is never null.
    unsafe { NonNull::new_unchecked(Box::into_raw(memory).cast::<T>()) }
}

/// Gives back what [`zeroed`] gave.
///
/// # Safety
/// `memory` is from `zeroed` with this `count`, and nothing refers to it any more.
unsafe fn give_back<T>(memory: NonNull<T>, count: usize) {
    let whole = ptr::slice_from_raw_parts_mut(memory.as_ptr().cast::<MaybeUninit<T>>(), count);
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(whole) });
}

impl Batch {
    /// Memory for batches of `most` datagrams, 1 to [`MOST`].
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, MOST);
        // SAFETY: all of these are plain numbers and pointers, for which zeros are valid.
        let batch = unsafe {
            Self {
                slots: zeroed(most),
                room: zeroed(most * ROOM),
                asked: zeroed(most),
                answers: zeroed(most),
                vectors: zeroed(most),
                most,
                used: most,
                waiting: 0,
                taken: 0,
            }
        };
        for at in 0..most {
            // SAFETY: `at` is within all of these; the pointers stay valid until the batch is dropped.
            unsafe {
                let slot = batch.slots.as_ptr().add(at);
                (*slot).vector =
                    libc::iovec { iov_base: (&raw mut (*slot).octets).cast(), iov_len: LONGEST_QUERY };
                let header = &raw mut (*batch.asked.as_ptr().add(at)).msg_hdr;
                (*header).msg_name = (&raw mut (*slot).name).cast();
                (*header).msg_iov = &raw mut (*slot).vector;
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*slot).control).cast();
                let header = &raw mut (*batch.answers.as_ptr().add(at)).msg_hdr;
                (*header).msg_iov = batch.vectors.as_ptr().add(at);
                (*header).msg_iovlen = 1;
            }
        }
        batch
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes what has come, and forgets the batch before. With `wait`, waits for the first datagram; without, none is 0.
    ///
    /// # Errors
    /// The system's.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, wait: bool) -> io::Result<usize> {
        for at in 0..self.used {
            // SAFETY: `used` is at most `most`.
            let header = unsafe { &mut (*self.asked.as_ptr().add(at)).msg_hdr };
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_controllen = mem::size_of::<[u64; CONTROL]>() as _;
        }
        (self.used, self.waiting, self.taken) = (0, 0, 0);
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        loop {
            // SAFETY: `most` headers, all of whose pointers are to memory of the lengths beside them.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.asked.as_ptr(),
                    self.most as libc::c_uint,
                    flags as _,
                    ptr::null_mut(),
                )
            };
            // Negative is an error.
            if let Ok(count) = usize::try_from(count) {
                self.used = count.min(self.most);
                return Ok(self.used);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted if !wait => {}
                // A signal is a reason to look whether to stop.
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => return Ok(0),
                _ => return Err(error),
            }
        }
    }

    /// A datagram of the batch received, and room for the response to it: [`ROOM`] octets.
    ///
    /// # Panics
    /// If `at` is not below what [`receive`](Self::receive) returned.
    pub fn datagram(&mut self, at: usize) -> (Datagram<'_>, &mut [u8]) {
        assert!(at < self.used, "datagram {at} of {}", self.used);
        // SAFETY: `at` is within the batch. The response lies behind those that wait, and there is room for it: each waiting answer belongs
        // to a slot of its own, and took at most ROOM. Slots and room are different memory, and both are borrowed with `self`.
        unsafe {
            let header = &*self.asked.as_ptr().add(at);
            let local = local(&header.msg_hdr);
            let slot = &*self.slots.as_ptr().add(at);
            let length = (header.msg_len as usize).min(LONGEST_QUERY);
            let datagram = Datagram {
                octets: &slot.octets[..length],
                peer: peer(&slot.name, header.msg_hdr.msg_namelen),
                local,
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
            (datagram, std::slice::from_raw_parts_mut(self.room.as_ptr().add(self.taken), ROOM))
        }
    }

    /// The response to this datagram, of which [`datagram`](Self::datagram) was the last one asked for, is written and `length` octets long.
    ///
    /// # Panics
    /// If there is no such datagram, or the response is longer than the room for it.
    pub fn answer(&mut self, at: usize, length: usize) {
        assert!(at < self.used && length <= ROOM, "answer {at} of {}, {length} octets", self.used);
        assert!(self.waiting < self.used, "one answer for each datagram");
        // SAFETY: all indices are within the batch, the response within the room. Each datagram is answered once, so `taken` stays
        // within `most` times ROOM.
        unsafe {
            let asked = &(*self.asked.as_ptr().add(at)).msg_hdr;
            let answer = &mut (*self.answers.as_ptr().add(self.waiting)).msg_hdr;
            answer.msg_name = asked.msg_name;
            answer.msg_namelen = asked.msg_namelen;
            answer.msg_control = asked.msg_control;
            answer.msg_controllen = asked.msg_controllen;
            *self.vectors.as_ptr().add(self.waiting) =
                libc::iovec { iov_base: self.room.as_ptr().add(self.taken).cast(), iov_len: length };
        }
        self.waiting += 1;
        // The next one begins on a cache line of its own.
        self.taken += length.next_multiple_of(64);
    }

    /// Sends the answers that wait. One that the kernel refuses (a firewall, no route, too long for the network) takes no other with it.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> Sent {
        let mut outcome = Sent::default();
        let mut next = 0;
        while next < self.waiting {
            // SAFETY: `waiting` headers are set up, and the memory they point to is as when they were.
            let count = unsafe {
                let rest = self.answers.as_ptr().add(next);
                libc::sendmmsg(socket.as_raw_fd(), rest, (self.waiting - next) as libc::c_uint, 0)
            };
            match usize::try_from(count) {
                Ok(0) => break,
                Ok(count) => {
                    next += count;
                    outcome.sent += count;
                }
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The call fails only for the first of what it was given.
                Err(_) => {
                    next += 1;
                    outcome.refused += 1;
                }
            }
        }
        (self.waiting, self.taken) = (0, 0);
        outcome
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: from `zeroed` with these counts; nothing outlives the batch.
        unsafe {
            give_back(self.slots, self.most);
            give_back(self.room, self.most * ROOM);
            give_back(self.asked, self.most);
            give_back(self.answers, self.most);
            give_back(self.vectors, self.most);
        }
    }
}

fn peer(name: &libc::sockaddr_storage, length: libc::socklen_t) -> Option<SocketAddr> {
    let length = length as usize;
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET if length >= mem::size_of::<libc::sockaddr_in>() => {
            // SAFETY: the kernel wrote an address of this family; a storage is large enough and aligned for each.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(address, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 if length >= mem::size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(address, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The address that was asked, from the packet information; which becomes that of the answer: the interface is left to routing, but
/// for an address that means something on one link only.
///
/// # Safety
/// `header` is as recvmmsg left it, and nothing else refers to its control data.
unsafe fn local(header: &libc::msghdr) -> Option<Local> {
    if header.msg_controllen == 0 {
        return None;
    }
    // SAFETY: the kernel wrote `msg_controllen` octets of control data, in memory that is aligned for them. What follows a head is
    // read and written without regard to its alignment.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(header);
        let head = head.as_ref()?;
        let data = libc::CMSG_DATA(head);
        match (head.cmsg_level, head.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let mut info: libc::in_pktinfo = ptr::read_unaligned(data.cast());
                info.ipi_ifindex = 0;
                ptr::write_unaligned(data.cast(), info);
                let address = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                // The address of this machine that fits: for what was sent to a group or everybody, another one.
                let unicast = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
                Some(Local { address: address.into(), unicast })
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let mut info: libc::in6_pktinfo = ptr::read_unaligned(data.cast());
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                if !address.is_unicast_link_local() {
                    info.ipi6_ifindex = 0;
                    ptr::write_unaligned(data.cast(), info);
                }
                Some(Local { address: address.into(), unicast: !address.is_multicast() })
            }
            _ => None,
        }
    }
}

fn set(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option's value is the integer that the pointer and the length describe.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The socket tells of each datagram which address it was sent to, and takes that for its answer.
///
/// # Errors
/// The system's.
pub fn tell_addresses(socket: BorrowedFd<'_>, v4: bool) -> io::Result<()> {
    if v4 {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// The socket sends no fragments, and believes nobody who says that a path takes less than its first link.
///
/// Whoever can put a fragment of their own in the place of one of ours can forge a part of an answer that no ID, port or cookie
/// covers, and a forged ICMP message is all it takes to have a server make fragments (RFC 9715). What is too long for
/// the interface is refused by the kernel, and counted; a resolver that gets nothing asks again over TCP. IPv4 packets
/// go out without DF: a router on the way that needs them shorter may still cut them, and they arrive.
///
/// # Errors
/// The system's.
pub fn never_fragment(socket: BorrowedFd<'_>, v4: bool) -> io::Result<()> {
    if v4 {
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_INTERFACE)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_INTERFACE)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)
    }
}

/// Datagrams that a socket's receive buffer had no room for, since it was opened; `None` where the system does not say.
pub fn overflowed(socket: BorrowedFd<'_>) -> Option<u64> {
    // Linux 4.12 and later; not in libc. The number is that of all architectures but a few old ones, which say nothing then.
    const SO_MEMINFO: libc::c_int = 55;
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut numbers = [0_u32; DROPS + 1];
    let mut length = mem::size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let whole = length as usize == mem::size_of_val(&numbers);
    (status == 0 && whole).then(|| u64::from(numbers[DROPS]))
}

/// Waits until one of these has something to read; says which, bit by bit. A signal may end it early, with none.
///
/// # Errors
/// The system's.
///
/// # Panics
/// With more than 64 sockets.
pub fn wait(sockets: &[BorrowedFd<'_>]) -> io::Result<u64> {
    let mut entries = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; 64];
    let entries = &mut entries[..sockets.len()];
    for (entry, socket) in entries.iter_mut().zip(sockets) {
        entry.fd = socket.as_raw_fd();
    }
    // SAFETY: as many entries as the length says.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, -1) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
    }
    let bits = entries.iter().enumerate().filter(|(_, entry)| entry.revents != 0);
    Ok(bits.fold(0, |bits, (at, _)| bits | 1 << at))
}

/// Ends waiting on a socket, for everybody who does.
///
/// An unconnected socket cannot be shut down and the call says so (ENOTCONN), but Linux wakes those who read from it first, on purpose
/// (`inet_shutdown`), and nothing is received on it any more.
pub fn wake(socket: BorrowedFd<'_>) {
    // SAFETY: takes no memory.
    let _ = unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}
