package io.vivarium.client;

/** How it stands with a task. */
public enum TaskStanding {
    PENDING(io.vivarium.v1.TaskStanding.TASK_STANDING_PENDING),
    /** Until its delay has passed. */
    DELAYED(io.vivarium.v1.TaskStanding.TASK_STANDING_DELAYED),
    CLAIMED(io.vivarium.v1.TaskStanding.TASK_STANDING_CLAIMED),
    /** After its last attempt, until it is redriven or discarded. */
    DEAD(io.vivarium.v1.TaskStanding.TASK_STANDING_DEAD);

    final io.vivarium.v1.TaskStanding message;

    TaskStanding(io.vivarium.v1.TaskStanding message) {
        this.message = message;
    }

    static TaskStanding of(io.vivarium.v1.TaskStanding message) {
        for (TaskStanding each : values()) {
            if (each.message == message) {
                return each;
            }
        }
        return PENDING;
    }
}
