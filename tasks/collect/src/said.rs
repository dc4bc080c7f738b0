//! What is said while it happens: one line when something begins to go wrong, and for which topics a sample of what
//! could not be read.
//!
//! Something begins when it has not happened for a whole interval between two lines of counts. What goes on is in the
//! counts, so that a sensor that is wrong all day does not fill the console.

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A reading of a closed window.
    Late,
    /// A reading too far in the future.
    Ahead,
    /// A series above the limit.
    OverLimit,
    /// A message that is too large.
    TooLarge,
    /// A message that nobody has asked for.
    Unasked,
    /// A summary that the cloud refuses.
    Refused,
    /// A summary that is dropped.
    Dropped,
}

/// How many kinds of trouble there are.
const KINDS: usize = 7;

/// How many topics get a sample of what could not be read.
const TOPICS: usize = 16;

/// What has been said.
#[derive(Debug, Default)]
pub struct Said {
    /// By kind: whether it was said, and whether it has happened since the last line of counts.
    kinds: [(bool, bool); KINDS],
    /// Hashes of the topics that a sample was shown of.
    topics: [Option<u32>; TOPICS],
}

impl Said {
    /// Notes a trouble; whether it is to be said.
    pub fn begins(&mut self, trouble: Trouble) -> bool {
        let (said, happened) = &mut self.kinds[trouble as usize];
        *happened = true;
        !core::mem::replace(said, true)
    }

    /// Notes a line of counts: what has not happened since the last one may begin again.
    pub fn counted(&mut self) {
        for (said, happened) in &mut self.kinds {
            *said &= core::mem::take(happened);
        }
    }

    /// Notes a message that cannot be read; whether a sample of it is to be shown: the first of each topic, as far as
    /// there is room to remember.
    pub fn is_first_of(&mut self, topic: u32) -> bool {
        for place in &mut self.topics {
            match place {
                Some(known) if *known == topic => return false,
                Some(_) => {}
                None => {
                    *place = Some(topic);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Said, TOPICS, Trouble};

    #[test]
    fn what_goes_on_is_said_once_and_what_begins_again_again() {
        let mut said = Said::default();
        assert!(said.begins(Trouble::Late) && !said.begins(Trouble::Late));
        assert!(said.begins(Trouble::Dropped));
        said.counted();
        assert!(!said.begins(Trouble::Late));
        said.counted();
        said.counted();
        assert!(said.begins(Trouble::Late) && said.begins(Trouble::Dropped));
    }

    #[test]
    fn each_topic_gets_one_sample_and_not_too_many_do() {
        let mut said = Said::default();
        for topic in 0..40 {
            assert_eq!(said.is_first_of(topic), topic < TOPICS as u32);
            assert!(!said.is_first_of(topic));
        }
    }
}
