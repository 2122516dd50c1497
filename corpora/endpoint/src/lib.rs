//! A scripted HTTP client and origin that wait for named events.
