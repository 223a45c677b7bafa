//! A subscriber of the change log that resumes from an id, at whichever member, is told every later
//! change exactly once and in order, or that its place is not kept any more (G9).
//!
//! Each subscriber keeps a copy of the tree by what it is told; at the end it is the tree.

use vivarium::testing::simulation::Finished;

pub fn check(finished: &Finished) -> Vec<String> {
    let each = finished.subscribers.iter().enumerate();
    let of = |(number, subscribed): (usize, &vivarium::testing::simulation::Subscribed)| {
        let problems = subscribed.problems.iter();
        let problems = problems.map(|problem| format!("subscriber {number}: {problem}"));
        problems.collect::<Vec<_>>()
    };
    each.flat_map(of).collect()
}

#[test]
fn a_subscriber_with_a_problem_is_found() {
    let mut finished = super::sound();
    finished.subscribers = vec![Default::default(); 2];
    assert_eq!(check(&finished), Vec::<String>::new());
    finished.subscribers[1].problems.push("missed".to_owned());
    assert_eq!(check(&finished), ["subscriber 1: missed"]);
}
