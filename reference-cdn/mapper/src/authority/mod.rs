//! From a query to a response.
