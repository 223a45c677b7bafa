package io.vivarium.client;

import java.util.function.BooleanSupplier;

/** {@link Members}, for tests in other packages. */
public final class RealMembers implements AutoCloseable {
    private final Members members;

    public RealMembers(int number) {
        members = Members.start(number);
    }

    public VivariumClient client() {
        return members.client().build();
    }

    public static void eventually(String what, BooleanSupplier condition) {
        Members.eventually(what, condition);
    }

    @Override
    public void close() {
        members.close();
    }
}
