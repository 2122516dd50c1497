//! Formats in which traffic is kept: the native capture format, pcap and pcapng.
