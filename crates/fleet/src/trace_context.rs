//! The position of a job in a trace, in the words of W3C's Trace Context: the header `traceparent`.

use std::fmt;

/// The length of a header of the first version.
const LENGTH: usize = 55;
/// The bit of the flags that says that the caller records the trace.
const SAMPLED: u8 = 1;

/// A trace, and one span of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    flags: u8,
}

/// The place of a job in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTrace {
    /// What the engine gets: the job's own span, where traces are exported, else that of the caller.
    pub context: TraceContext,
    /// The span of the caller; `None` where the trace begins here.
    pub caller: Option<TraceContext>,
}

impl TraceContext {
    /// Reads a header; `None` for one that is not valid.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more behind a dash.
        let is_known = version == "00" && header.len() == LENGTH;
        let is_later = version != "00" && version != "ff" && parts.next().is_some() | (header.len() == LENGTH);
        let hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !(is_known || is_later) || !hex(version, 2) || !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        Some(Self { trace, span, flags: u8::from_str_radix(flags, 16).ok()? & SAMPLED })
    }

    /// A new span: of the caller's trace, or the first one of a new trace, which is recorded. `None` without random bytes.
    #[must_use]
    pub fn begin(caller: Option<Self>) -> Option<Self> {
        let random = || getrandom::u64().ok();
        let span = random()?.max(1);
        Some(match caller {
            Some(caller) => Self { span, ..caller },
            None => Self { trace: (u128::from(random()?) << 64 | u128::from(random()?)).max(1), span, flags: SAMPLED },
        })
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The name of the trace, as in all tools.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// The header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert_eq!((context.to_string().as_str(), context.is_sampled()), (HEADER, true));
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!TraceContext::parse(&HEADER.replace("-01", "-00")).unwrap().is_sampled());
        let later = HEADER.replacen("00", "cc", 1);
        assert_eq!(TraceContext::parse(&later), Some(context));
        assert_eq!(TraceContext::parse(&format!("{later}-more")), Some(context));
    }

    #[test]
    fn what_is_not_valid_is_no_context() {
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_span_continues_the_caller_s_trace_or_begins_one() {
        let caller = TraceContext::parse(HEADER).unwrap();
        let span = TraceContext::begin(Some(caller)).unwrap();
        assert!(span.trace == caller.trace && span.span != caller.span && span.is_sampled());
        let (one, other) = (TraceContext::begin(None).unwrap(), TraceContext::begin(None).unwrap());
        assert!(one.trace != other.trace && one.is_sampled());
        assert_eq!(TraceContext::parse(&one.to_string()), Some(one));
    }
}
