//! Many comparisons on one page.

/// Which of `p_values` are discoveries if at most `rate` of the discoveries may be false (Benjamini
/// and Hochberg, 1995).
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_unstable_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let count = p_values.len() as f64;
    let last = order
        .iter()
        .enumerate()
        .rfind(|&(rank, &index)| p_values[index] <= rate * (rank as f64 + 1.0) / count)
        .map(|(rank, _)| rank);
    let mut found = vec![false; p_values.len()];
    for &index in order.iter().take(last.map_or(0, |rank| rank + 1)) {
        found[index] = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_the_paper_gives_its_four_discoveries() {
        // Section 3.2 of the paper: fifteen p-values.
        let p_values = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let found = benjamini_hochberg(&p_values, 0.05);
        assert_eq!(found.iter().filter(|found| **found).count(), 4);
        assert!(found[..4].iter().all(|found| *found));
    }

    #[test]
    fn order_of_the_values_does_not_matter() {
        assert_eq!(
            benjamini_hochberg(&[0.9, 0.001, 0.04], 0.05),
            [false, true, false]
        );
    }

    #[test]
    fn no_values_give_no_discoveries() {
        assert!(benjamini_hochberg(&[], 0.05).is_empty());
    }
}
