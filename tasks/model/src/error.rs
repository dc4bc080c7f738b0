//! Why there is no report.

use alloc::string::String;
use core::fmt;

use kernel::feed;

/// What is wrong with the parameters, or with the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No inputs, or more than a report has room for.
    Inputs,
    /// An input is named twice, or two sensors have its name.
    Ambiguous(String),
    /// Neither a regression nor a tree, or both.
    Kind,
    /// There must be as many coefficients as inputs.
    Coefficients {
        /// How many these are.
        inputs: usize,
    },
    /// The parameter of this name has something that is infinite, not a number or beyond 1e30.
    Number(&'static str),
    /// A tree without nodes, with too many, or whose lists are not of one length.
    Nodes(usize),
    /// A node has one child only, or one that does not come after it.
    Children {
        /// Which.
        node: usize,
    },
    /// A node looks at an input that there is not.
    Feature {
        /// Which.
        node: usize,
        /// How many inputs there are.
        inputs: usize,
    },
    /// No way leads to a node, or two do.
    Ways {
        /// Which.
        node: usize,
    },
    /// A leaf is too far from the root.
    Depth(u32),
    /// There is no feed, or no more of it.
    Feed(feed::Error),
}

impl From<feed::Error> for Error {
    fn from(error: feed::Error) -> Self {
        Self::Feed(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inputs => formatter.write_str("inputs: one at least, and fewer than fill a report"),
            Self::Ambiguous(name) => write!(formatter, "inputs: {name} is named twice, or the name of two sensors"),
            Self::Kind => formatter.write_str(
                "either coefficients, and intercept if there is one, or feature, threshold, left, right and value",
            ),
            Self::Coefficients { inputs } => write!(formatter, "coefficients: {inputs}, as many as inputs"),
            Self::Number(parameter) => write!(formatter, "{parameter}: numbers up to 1e30"),
            Self::Nodes(most) => {
                write!(formatter, "feature, threshold, left, right, value: as many of each, from 1 to {most}")
            }
            Self::Children { node } => {
                write!(formatter, "left, right: node {node} has two children that come after it, or -1 and -1")
            }
            Self::Feature { node, inputs } => {
                write!(formatter, "feature: node {node} looks at one of {inputs} inputs, the first of which is 0")
            }
            Self::Ways { node } => write!(formatter, "left, right: node {node} is the child of one node"),
            Self::Depth(most) => write!(formatter, "left, right: a leaf is more than {most} nodes deep"),
            Self::Feed(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Error {}
