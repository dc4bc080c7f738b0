//! Predictions from numbers, and what a model must be to give any.

use alloc::vec::Vec;

use readings::number;

use crate::{Error, Parameters};

/// The most nodes of a tree.
const NODES_MAX: usize = 1024;
/// The most nodes on the way from the root to a leaf.
const DEPTH_MAX: u32 = 64;

/// A model that was judged: whatever its inputs are, it gives a number and comes to an end.
#[derive(Debug, Clone)]
pub(crate) enum Predictor {
    Linear {
        intercept: f64,
        coefficients: Vec<f64>,
    },
    /// Its nodes; the root is the first, and children come after their parents.
    Tree(Vec<Node>),
}

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node {
    Leaf(f64),
    Split { input: usize, threshold: f64, left: usize, right: usize },
}

impl Predictor {
    /// The model that the parameters describe.
    ///
    /// # Errors
    /// They describe none, two, or one that is not whole.
    pub(crate) fn new(parameters: Parameters) -> Result<Self, Error> {
        let Parameters { inputs, coefficients, intercept, feature, threshold, left, right, value, .. } = parameters;
        match (coefficients, feature, threshold, left, right, value) {
            (Some(coefficients), None, None, None, None, None) => {
                linear(inputs.len(), coefficients, intercept.unwrap_or(0.0))
            }
            (None, Some(feature), Some(threshold), Some(left), Some(right), Some(value)) if intercept.is_none() => {
                let nodes = feature.len();
                let same = [threshold.len(), left.len(), right.len(), value.len()].iter().all(|count| *count == nodes);
                if !same || !(1..=NODES_MAX).contains(&nodes) {
                    return Err(Error::Nodes(NODES_MAX));
                }
                let nodes = (0..nodes).map(|at| {
                    let children = [left[at], right[at]];
                    node(at, nodes, inputs.len(), feature[at], threshold[at], children, value[at])
                });
                let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
                check_ways(&nodes)?;
                Ok(Self::Tree(nodes))
            }
            _ => Err(Error::Kind),
        }
    }

    /// The prediction, if all inputs have a value, which must be plausible.
    pub(crate) fn predict(&self, input: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        match self {
            Self::Linear { intercept, coefficients } => {
                let product = |(at, coefficient): (usize, &f64)| Some(coefficient * input(at)?);
                coefficients.iter().enumerate().map(product).try_fold(*intercept, |sum, product| Some(sum + product?))
            }
            Self::Tree(nodes) => {
                let mut at = 0;
                loop {
                    match nodes[at] {
                        Node::Leaf(value) => return Some(value),
                        Node::Split { input: number, threshold, left, right } => {
                            at = if input(number)? <= threshold { left } else { right };
                        }
                    }
                }
            }
        }
    }
}

fn linear(inputs: usize, coefficients: Vec<f64>, intercept: f64) -> Result<Predictor, Error> {
    if coefficients.len() != inputs {
        return Err(Error::Coefficients { inputs });
    }
    // Products of plausible numbers do not overflow.
    if !coefficients.iter().all(|coefficient| number::is_plausible(*coefficient)) {
        return Err(Error::Number("coefficients"));
    }
    match number::is_plausible(intercept) {
        true => Ok(Predictor::Linear { intercept, coefficients }),
        false => Err(Error::Number("intercept")),
    }
}

fn node(
    at: usize,
    nodes: usize,
    inputs: usize,
    feature: i32,
    threshold: f64,
    children: [i32; 2],
    value: f64,
) -> Result<Node, Error> {
    let later = |child: i32| usize::try_from(child).ok().filter(|child| (at + 1..nodes).contains(child));
    let input = usize::try_from(feature).ok().filter(|feature| *feature < inputs);
    match (children.map(later), input) {
        _ if children == [-1, -1] && number::is_plausible(value) => Ok(Node::Leaf(value)),
        _ if children == [-1, -1] => Err(Error::Number("value")),
        ([Some(left), Some(right)], Some(input)) if number::is_plausible(threshold) => {
            Ok(Node::Split { input, threshold, left, right })
        }
        ([Some(_), Some(_)], Some(_)) => Err(Error::Number("threshold")),
        ([Some(_), Some(_)], None) => Err(Error::Feature { node: at, inputs }),
        _ => Err(Error::Children { node: at }),
    }
}

/// Checks that one way leads to each node but the root, and none is too long. Children come after their parents, so no way
/// comes back to where it was.
fn check_ways(nodes: &[Node]) -> Result<(), Error> {
    let mut depths = Vec::from_iter(nodes.iter().map(|_| None));
    depths[0] = Some(1);
    for (at, node) in nodes.iter().enumerate() {
        let depth = depths[at].ok_or(Error::Ways { node: at })?;
        if depth > DEPTH_MAX {
            return Err(Error::Depth(DEPTH_MAX));
        }
        if let Node::Split { left, right, .. } = *node {
            for child in [left, right] {
                if depths[child].replace(depth + 1).is_some() {
                    return Err(Error::Ways { node: child });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
