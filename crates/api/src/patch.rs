//! Partial updates: a field that is absent stays, `null` clears it, a value sets it.

use serde::{Deserialize, Deserializer};

/// `None`: absent. `Some(None)`: null. Use with
/// `#[serde(default, deserialize_with = "patch::field")]`.
pub type Field<T> = Option<Option<T>>;

/// # Errors
/// When the value has another shape.
pub fn field<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Field<T>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// Sets what is wished; without a wish it stays.
pub(crate) fn set<T: Clone>(field: &mut T, wish: &Option<T>) {
    if let Some(wish) = wish {
        field.clone_from(wish);
    }
}
