//! One report model, written as text, JSON, JUnit and HTML.
