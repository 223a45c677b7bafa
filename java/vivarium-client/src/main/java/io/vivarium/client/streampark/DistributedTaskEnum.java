package io.vivarium.client.streampark;

/** What is to be done with an application, by upstream's names and numbers. */
public enum DistributedTaskEnum {
    START(0),
    RESTART(1),
    REVOKE(2),
    CANCEL(3),
    ABORT(4),
    /** Of Spark only. */
    FORCED_STOP(5);

    private final int value;

    DistributedTaskEnum(int value) {
        this.value = value;
    }

    public int getValue() {
        return value;
    }

    /** @throws IllegalArgumentException for another number */
    public static DistributedTaskEnum of(int value) {
        for (DistributedTaskEnum each : values()) {
            if (each.value == value) {
                return each;
            }
        }
        throw new IllegalArgumentException("there is no action " + value);
    }
}
