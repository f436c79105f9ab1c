//! Values that belong to their goroutine cannot move to another: the compiler checks it.

use std::rc::Rc;

use bench_runtime::sync::{MutexGuard, RwMutexReadGuard, RwMutexWriteGuard};
use bench_runtime::{Receiver, Select, Sender, Slot};

/// Does not compile if the type is `Send`: then two impls would fit.
macro_rules! assert_not_send {
    ($($type:ty),* $(,)?) => {$({
        trait Fits<A> {
            fn fits() {}
        }
        struct IsSend;
        impl<T: ?Sized> Fits<()> for T {}
        impl<T: ?Sized + Send> Fits<IsSend> for T {}
        <$type as Fits<_>>::fits();
    })*};
}

#[test]
fn guards_and_run_time_selects_stay_with_their_goroutine() {
    assert_not_send!(
        MutexGuard<'static, ()>,
        RwMutexReadGuard<'static, ()>,
        RwMutexWriteGuard<'static, ()>,
        Select<'static>,
        &Slot<u8>,
    );
}

#[test]
fn ends_of_a_channel_of_values_that_are_not_send_are_not_send() {
    assert_not_send!(Sender<Rc<()>>, Receiver<Rc<()>>);
    fn is_send<T: Send + Sync>() {}
    is_send::<Sender<std::cell::Cell<u8>>>();
    is_send::<Receiver<std::cell::Cell<u8>>>();
}
