//! Packing: rows, borders and targets.

use proptest::prelude::*;
use sft_dataset::{Batch, Example, Target};

fn example(index: u64, ids: &[u32], first_target: usize) -> Example {
    Example { ids: ids.to_vec(), first_target, index, line: index + 2 }
}

#[test]
fn the_first_target_is_predicted_by_the_last_prompt_token() {
    // Prompt 1 10 11, summary 20 21, EOS 2; then prompt 1 12, summary 22, EOS 2.
    let examples = [example(5, &[1, 10, 11, 20, 21, 2], 3), example(0, &[1, 12, 22, 2], 2)];
    let batch = Batch::pack(&examples);
    assert_eq!(batch.ids, [1, 10, 11, 20, 21, 1, 12, 22]);
    assert_eq!(batch.positions, [0, 1, 2, 3, 4, 0, 1, 2]);
    assert_eq!(batch.cu_seqlens, [0, 5, 8]);
    assert_eq!(batch.example, [5, 0]);
    let targets: Vec<(u32, u32)> = batch.targets.iter().map(|t| (t.row, t.label)).collect();
    assert_eq!(targets, [(2, 20), (3, 21), (4, 2), (6, 22), (7, 2)]);
    assert_eq!(batch.tokens(), 10);
}

#[test]
fn nothing_packs_to_nothing() {
    let batch = Batch::pack([]);
    assert_eq!((batch.cu_seqlens.as_slice(), batch.tokens()), ([0].as_slice(), 0));
}

fn examples() -> impl Strategy<Value = Vec<Example>> {
    let one = (prop::collection::vec(0_u32..50, 2..12), any::<prop::sample::Index>(), any::<u64>())
        .prop_map(|(ids, at, index)| {
            let first_target = at.index(ids.len());
            Example { ids, first_target, index, line: 1 }
        });
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn a_batch_is_its_sequences_side_by_side(examples in examples()) {
        let batch = Batch::pack(&examples);
        prop_assert_eq!(batch.tokens(), examples.iter().map(|e| e.ids.len()).sum::<usize>());
        prop_assert_eq!(batch.ids.len(), batch.positions.len());
        prop_assert_eq!(batch.cu_seqlens.len(), examples.len() + 1);
        let mut targets = batch.targets.iter();
        for (b, example) in examples.iter().enumerate() {
            let (start, end) = (batch.cu_seqlens[b] as usize, batch.cu_seqlens[b + 1] as usize);
            prop_assert_eq!(&batch.ids[start..end], &example.ids[..example.ids.len() - 1]);
            prop_assert!(batch.positions[start..end].iter().map(|&p| p as usize).eq(0..end - start));
            prop_assert_eq!(batch.example[b], example.index);
            for position in example.first_target.max(1)..example.ids.len() {
                let row = (start + position - 1) as u32;
                prop_assert_eq!(targets.next(), Some(&Target { row, label: example.ids[position] }));
            }
        }
        prop_assert_eq!(targets.next(), None);
    }
}
