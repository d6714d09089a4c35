//! What cannot be a model is a compile error that says what to use instead, at the place in question.

#[test]
fn what_cannot_be_a_model_is_a_compile_error() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
