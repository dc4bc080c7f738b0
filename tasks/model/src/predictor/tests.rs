//! Tests against a tree that is a tree, and of what is none.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;

use super::{DEPTH_MAX, NODES_MAX, Predictor};
use crate::{Error, Parameters};

/// A tree as one would write it.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(f64),
    Split(usize, f64, Box<(Tree, Tree)>),
}

impl Tree {
    fn predict(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::Leaf(value) => *value,
            Self::Split(input, threshold, children) if inputs[*input] <= *threshold => children.0.predict(inputs),
            Self::Split(.., children) => children.1.predict(inputs),
        }
    }

    /// Appends it to lists as scikit-learn has them.
    fn write(&self, parameters: &mut Parameters) {
        let Parameters { feature, threshold, left, right, value, .. } = parameters;
        let (feature, threshold) = (feature.get_or_insert_default(), threshold.get_or_insert_default());
        let (left, right) = (left.get_or_insert_default(), right.get_or_insert_default());
        let at = feature.len();
        value.get_or_insert_default().push(if let Self::Leaf(value) = self { *value } else { 0.0 });
        match self {
            Self::Leaf(_) => {
                feature.push(-2);
                threshold.push(-2.0);
                left.push(-1);
                right.push(-1);
            }
            Self::Split(input, above, children) => {
                feature.push(*input as i32);
                threshold.push(*above);
                left.push(at as i32 + 1);
                right.push(0);
                children.0.write(parameters);
                let next = parameters.feature.as_ref().map_or(0, Vec::len) as i32;
                if let Some(right) = &mut parameters.right {
                    right[at] = next;
                }
                children.1.write(parameters);
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (-9..9i32).prop_map(|value| Tree::Leaf(value.into()));
    leaf.prop_recursive(6, 64, 2, |tree| {
        (0..3usize, -3..3i32, tree.clone(), tree)
            .prop_map(|(input, threshold, one, other)| Tree::Split(input, threshold.into(), Box::new((one, other))))
    })
}

fn inputs(count: usize) -> Parameters {
    Parameters { inputs: (0..count).map(|at| format!("{at}")).collect::<Vec<String>>(), ..Parameters::default() }
}

/// A root with two leaves, changed.
fn stump(change: impl FnOnce(&mut Parameters)) -> Result<f64, Error> {
    let mut parameters = inputs(1);
    Tree::Split(0, 0.5, Box::new((Tree::Leaf(1.0), Tree::Leaf(2.0)))).write(&mut parameters);
    change(&mut parameters);
    Predictor::new(parameters).map(|model| model.predict(|_| Some(0.5)).expect("there is a value"))
}

/// A chain of splits, each with one leaf.
fn chain(splits: usize) -> Result<Predictor, Error> {
    let add = |tree, at| Tree::Split(0, at as f64, Box::new((Tree::Leaf(at as f64), tree)));
    let mut parameters = inputs(1);
    (0..splits).fold(Tree::Leaf(-1.0), add).write(&mut parameters);
    Predictor::new(parameters)
}

proptest! {
    #[test]
    fn a_tree_predicts_what_its_branches_say(tree in tree(), values in prop::collection::vec(-4.0..4.0f64, 3)) {
        let mut parameters = inputs(3);
        tree.write(&mut parameters);
        let model = Predictor::new(parameters).expect("a tree");
        prop_assert_eq!(model.predict(|input| Some(values[input])), Some(tree.predict(&values)));
    }

    #[test]
    fn any_lists_are_refused_or_come_to_an_end(
        nodes in prop::collection::vec((-3..4i32, -1..12i32, -1..12i32, -1.0..1.0f64), 0..12),
    ) {
        let mut parameters = inputs(2);
        parameters.feature = Some(nodes.iter().map(|node| node.0).collect());
        parameters.left = Some(nodes.iter().map(|node| node.1).collect());
        parameters.right = Some(nodes.iter().map(|node| node.2).collect());
        parameters.threshold = Some(nodes.iter().map(|node| node.3).collect());
        parameters.value = parameters.threshold.clone();
        if let Ok(model) = Predictor::new(parameters) {
            prop_assert!(model.predict(|_| Some(0.0)).is_some());
        }
    }
}

#[test]
fn a_value_at_the_threshold_goes_left() {
    assert_eq!(stump(|_| {}), Ok(1.0));
}

#[test]
fn a_tree_that_is_none_is_refused_and_says_where() {
    let nodes = Err(Error::Nodes(NODES_MAX));
    assert_eq!(stump(|parameters| parameters.value = Some(vec![0.0; 2])), nodes);
    assert_eq!(stump(|parameters| parameters.left = Some(vec![1, 1, -1])), Err(Error::Children { node: 1 }));
    assert_eq!(stump(|parameters| parameters.left = Some(vec![0, -1, -1])), Err(Error::Children { node: 0 }));
    assert_eq!(stump(|parameters| parameters.right = Some(vec![3, -1, -1])), Err(Error::Children { node: 0 }));
    assert_eq!(stump(|parameters| parameters.right = Some(vec![-1, -1, -1])), Err(Error::Children { node: 0 }));
    assert_eq!(stump(|parameters| parameters.right = Some(vec![1, -1, -1])), Err(Error::Ways { node: 1 }));
    let leaf = |parameters: &mut Parameters| {
        parameters.left = Some(vec![-1; 3]);
        parameters.right = Some(vec![-1; 3]);
    };
    assert_eq!(stump(leaf), Err(Error::Ways { node: 1 }));
    for feature in [-1, 1] {
        let wrong = stump(|parameters| parameters.feature = Some(vec![feature, -2, -2]));
        assert_eq!(wrong, Err(Error::Feature { node: 0, inputs: 1 }));
    }
    let threshold = stump(|parameters| parameters.threshold = Some(vec![f64::NAN, -2.0, -2.0]));
    assert_eq!(threshold, Err(Error::Number("threshold")));
    let value = stump(|parameters| parameters.value = Some(vec![0.0, 1.0, f64::INFINITY]));
    assert_eq!(value, Err(Error::Number("value")));
    // What a leaf does not use may be anything.
    assert_eq!(stump(|parameters| parameters.threshold = Some(vec![0.5, f64::NAN, -2.0])), Ok(1.0));
}

#[test]
fn a_tree_has_bounds() {
    let depth = DEPTH_MAX as usize;
    assert!(chain(depth - 1).is_ok());
    assert_eq!(chain(depth).err(), Some(Error::Depth(DEPTH_MAX)));
    assert_eq!(chain(NODES_MAX / 2).err(), Some(Error::Nodes(NODES_MAX)));
    let mut none = inputs(1);
    none.feature = Some(Vec::new());
    (none.threshold, none.value) = (Some(Vec::new()), Some(Vec::new()));
    (none.left, none.right) = (Some(Vec::new()), Some(Vec::new()));
    assert_eq!(Predictor::new(none).err(), Some(Error::Nodes(NODES_MAX)));
}

#[test]
fn a_regression_has_a_finite_number_for_each_input() {
    let linear = |coefficients: &[f64], intercept| {
        let coefficients = Some(coefficients.to_vec());
        let model = Predictor::new(Parameters { coefficients, intercept, ..inputs(2) })?;
        Ok(model.predict(|input| Some([10.0, 100.0][input])))
    };
    assert_eq!(linear(&[1.0, -0.5], Some(2.5)), Ok(Some(-37.5)));
    assert_eq!(linear(&[1.0, -0.5], None), Ok(Some(-40.0)));
    assert_eq!(linear(&[1.0], None), Err(Error::Coefficients { inputs: 2 }));
    assert_eq!(linear(&[1.0, f64::NAN], None), Err(Error::Number("coefficients")));
    assert_eq!(linear(&[1.0, 1.0], Some(f64::INFINITY)), Err(Error::Number("intercept")));
    // The largest numbers there are.
    let model = Predictor::new(Parameters { coefficients: Some(vec![1e30; 2]), ..inputs(2) }).expect("a model");
    assert!(model.predict(|_| Some(-1e30)).is_some_and(f64::is_finite));
    assert_eq!(model.predict(|input| [Some(1.0), None][input]), None);
}

#[test]
fn a_model_is_one_thing() {
    assert_eq!(Predictor::new(inputs(1)).err(), Some(Error::Kind));
    assert_eq!(stump(|parameters| parameters.coefficients = Some(vec![1.0])), Err(Error::Kind));
    assert_eq!(stump(|parameters| parameters.intercept = Some(1.0)), Err(Error::Kind));
    assert_eq!(stump(|parameters| parameters.value = None), Err(Error::Kind));
}
