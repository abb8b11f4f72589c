//! An order in which each node comes after those that it needs. It knows no operators.

/// How far a node is.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// The nodes that `roots` need, each after its own needs and otherwise in the order in which needs are listed: so the
/// order follows from what is computed, not from how the nodes were numbered.
///
/// # Errors
/// A node that needs itself, by however many others.
pub(crate) fn after_needs(
    count: usize,
    roots: impl IntoIterator<Item = usize>,
    needs: impl Fn(usize) -> Vec<usize>,
) -> Result<Vec<usize>, usize> {
    let (mut marks, mut order) = (vec![Mark::New; count], Vec::with_capacity(count));
    // A node and those of its needs that are left; a stack of our own, since a chain may be as long as the graph.
    let mut open: Vec<(usize, std::vec::IntoIter<usize>)> = Vec::new();
    for root in roots {
        let mut next = Some(root);
        loop {
            if let Some(node) = next.take() {
                match marks.get_mut(node) {
                    Some(Mark::Open) => return Err(node),
                    Some(mark @ Mark::New) => {
                        *mark = Mark::Open;
                        open.push((node, needs(node).into_iter()));
                    }
                    Some(Mark::Done) | None => {}
                }
            }
            let Some((node, rest)) = open.last_mut() else { break };
            match rest.next() {
                Some(need) => next = Some(need),
                None => {
                    if let Some(mark) = marks.get_mut(*node) {
                        *mark = Mark::Done;
                    }
                    order.push(*node);
                    open.pop();
                }
            }
        }
    }
    Ok(order)
}
