#![allow(clippy::unwrap_used)]

use super::*;
use crate::ModelDir;

fn shape() -> TrainingShape {
    let folder = tempfile::tempdir().unwrap();
    sft_fixtures::LlamaShape { num_hidden_layers: 6, ..Default::default() }
        .write(folder.path(), 1)
        .unwrap();
    let folder = ModelDir::open(folder.path()).unwrap();
    let batch = BatchShape { tokens: 4000, targets: 900, longest: 500 };
    let weights = folder.weight_shape(DType::F32).unwrap();
    TrainingShape::new(folder.config(), &LoraConfig::default(), weights, batch).unwrap()
}

#[test]
fn more_memory_never_computes_more_again() {
    let shape = shape();
    let (most, least) = (shape.plan_of(0).estimate.training(), shape.least());
    assert!(least < most);
    let mut before = 6;
    let mut seen = Vec::new();
    for budget in (least..=most).step_by(1000).chain([most]) {
        let plan = shape.plan(budget, false).unwrap();
        assert!(plan.recomputed <= before && plan.estimate.training() <= budget);
        before = plan.recomputed;
        seen.push(plan.recomputed);
    }
    seen.dedup();
    assert_eq!(seen, [5, 4, 3, 2, 1, 0]); // the last block gains nothing
    assert_eq!(shape.plan(least - 1, false), None);
    assert_eq!(shape.plan(most, true).unwrap().recomputed, 6);
    assert_eq!(shape.plan_of(6).recompute(), Recompute::Blocks(6));
}

#[test]
fn a_device_has_a_plan_of_its_own() {
    let mut shape = shape();
    shape.place = Place::Device;
    let (most, least) = (shape.plan_of(0).estimate, shape.least());
    assert_eq!((most.mapped, most.loading), (0, 0));
    assert!(most.weights > 0 && most.process > 0 && least < most.training());
    let plan = shape.plan(most.training() - 1, false).unwrap();
    assert_eq!(plan.recomputed, 1);
    assert_eq!(shape.plan(least - 1, false), None);
    let wide = most.activations;
    shape.weights.dtype = DType::BF16;
    let narrow = shape.plan_of(0).estimate.activations;
    // All but the sums of the exponentials is half as large.
    assert!(
        (wide as f64 * 0.5..wide as f64 * 0.53).contains(&(narrow as f64)),
        "{narrow} of {wide}"
    );
}

#[test]
fn matrices_in_their_files_take_no_memory_of_their_own() {
    let mut shape = shape();
    let mapped = shape.plan_of(0).estimate;
    shape.weights.dtype = DType::BF16;
    let converted = shape.plan_of(0).estimate;
    assert_eq!((mapped.weights, converted.mapped), (0, 0));
    assert_eq!(mapped.mapped, 2 * converted.weights);
    assert!(mapped.mapped > 0);
}

#[test]
fn a_matrix_is_used_again_by_its_width() {
    let mut shelves = shelves::Shelves::default();
    let (a, b) = (shelves.take(10, 4), shelves.take(2, 4));
    assert_eq!(shelves.held(), 4 * 12 * 4);
    shelves.put([b, a]);
    assert_eq!(shelves.in_use(), 0);
    let (a, b) = (shelves.take(3, 4), shelves.take(5, 4)); // the last that came back goes first
    assert_eq!(shelves.held(), 4 * 15 * 4);
    let c = shelves.take(1, 7);
    assert_eq!(shelves.held(), 4 * (15 * 4 + 7));
    shelves.put([a, b, c]);
}
