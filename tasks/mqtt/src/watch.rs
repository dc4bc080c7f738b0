//! When to ask a broker for a sign of life, and when to give it up.
//!
//! A broker gives a client up that has sent nothing for as long as its [`patience`]; so do we with the broker, and ask
//! before. The times are judged after what was queued has been sent, never before.

use embassy_time::{Duration, Instant};

/// How long who says nothing is waited for: one and a half keepalives (MQTT 5, section 3.1.2.10).
pub fn patience(keepalive: Duration) -> Duration {
    keepalive * 3 / 2
}

/// What both sides have done last.
#[derive(Debug)]
pub struct Watch {
    keepalive: Duration,
    sent: Instant,
    heard: Instant,
    /// Questions without an answer.
    unanswered: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A question.
    Ask,
    /// The end: nothing was heard for too long.
    Silent,
    /// Nothing before this time.
    Nothing(Instant),
}

impl Watch {
    /// A connection that begins now.
    pub fn new(keepalive: Duration, now: Instant) -> Self {
        Self { keepalive, sent: now, heard: now, unanswered: 0 }
    }

    /// Takes the keepalive that the broker wants instead of ours.
    pub fn set_keepalive(&mut self, keepalive: Duration) {
        self.keepalive = keepalive;
    }

    /// Notes that something was sent.
    pub fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Notes that something was heard.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Notes a question; whether it is the only one without an answer.
    pub fn asked(&mut self) -> bool {
        self.unanswered += 1;
        self.unanswered == 1
    }

    /// Notes the answer to the oldest question.
    pub fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Whether no question waits for its answer.
    pub fn is_quiet(&self) -> bool {
        self.unanswered == 0
    }

    /// What is to be done at this time.
    pub fn due(&self, now: Instant) -> Due {
        let limit = self.heard + patience(self.keepalive);
        // With a question under way, only what the broker must hear from us is a reason for the next one.
        let last = if self.unanswered == 0 { self.sent.min(self.heard) } else { self.sent };
        let ask = last + self.keepalive * 3 / 4;
        if now >= limit {
            Due::Silent
        } else if now >= ask {
            Due::Ask
        } else {
            Due::Nothing(limit.min(ask))
        }
    }
}

#[cfg(test)]
mod tests {
    use embassy_time::{Duration, Instant};

    use super::{Due, Watch};

    const fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn watch() -> Watch {
        Watch::new(Duration::from_secs(40), at(100))
    }

    #[test]
    fn after_an_acknowledgement_the_broker_still_hears_from_us_in_time() {
        let mut watch = watch();
        watch.heard(at(110));
        watch.sent(at(110));
        assert_eq!(watch.due(at(110)), Due::Nothing(at(140)));
        assert_eq!(watch.due(at(140)), Due::Ask);
    }

    #[test]
    fn a_broker_that_talks_is_asked_all_the_same_when_we_say_nothing() {
        let mut watch = watch();
        (100..130).for_each(|second| watch.heard(at(second)));
        assert_eq!(watch.due(at(130)), Due::Ask);
    }

    #[test]
    fn a_broker_that_we_talk_to_is_asked_when_it_says_nothing() {
        let mut watch = watch();
        (100..130).for_each(|second| watch.sent(at(second)));
        assert_eq!(watch.due(at(130)), Due::Ask);
        // Once, and not again and again; without an answer it is given up.
        assert!(watch.asked());
        watch.sent(at(130));
        assert_eq!(watch.due(at(131)), Due::Nothing(at(160)));
        assert_eq!(watch.due(at(160)), Due::Silent);
    }

    #[test]
    fn a_question_that_is_not_answered_is_no_reason_to_be_silent() {
        let mut watch = watch();
        assert!(watch.asked() && !watch.asked());
        watch.sent(at(130));
        watch.heard(at(159));
        assert_eq!(watch.due(at(160)), Due::Ask);
        watch.answered();
        assert!(!watch.is_quiet());
        watch.answered();
        assert!(watch.is_quiet());
    }
}
