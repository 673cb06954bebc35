//! A list in ascending order, each item once. For short lists: it is far less code than a tree. Knows no item.

/// Inserts the item unless it is there.
pub(crate) fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(at) = list.binary_search(&item) {
        list.insert(at, item);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_list_stays_in_order_and_has_no_doubles() {
        let mut list = vec![];
        for item in [3, 1, 2, 3, 1] {
            super::insert(&mut list, item);
        }
        assert_eq!(list, [1, 2, 3]);
    }
}
