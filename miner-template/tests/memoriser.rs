//! A student that learnt the test images by heart, beside an honest one of the same architecture and training loop.
//! The example `memoriser` prints the figures at full size; docs/HIDDEN_ROUNDS.md holds them.

use crate::contest::Contest;

#[test]
fn memoriser_leads_on_public_items_and_loses_the_hidden_round() {
    let contest = Contest::open(600, 1_000);
    let honest = contest.student("mlp", &contest.assets.training, 2, true, 2);
    let memoriser = contest.student("mlp", &contest.test, 0, false, 20);
    println!("teacher {:?}\nhonest {honest:?}\nmemoriser {memoriser:?}", contest.teacher);

    assert!(memoriser.clean > honest.clean + 0.05, "it leads on what everybody knows");
    assert!(memoriser.hidden < honest.hidden - 0.05, "and loses on what was drawn");
    assert!(contest.teacher.gap() < 0.06, "the teacher keeps its accuracy");
    assert!(memoriser.gap() > 4.0 * contest.teacher.gap(), "its gap shows it");
    assert!(memoriser.gap() > 1.5 * honest.gap(), "an honest student's doesn't look like that");
}
