//! Are these two answers the same in meaning? Every difference with its path, values, rule and class.
