package io.vivarium.client;

import java.util.List;

/** What a host does for a {@link TaskService}. {@link #lost} and {@link #gained} are called one at a time. */
public interface TaskHost {
    /**
     * Carries out one operation, as {@link TaskHandler#execute}. Its thread is interrupted when the session is
     * lost.
     */
    void execute(ClaimedTask task) throws Exception;

    /**
     * Stops everything that it does for these jobs. They are another server's once this has returned, and what is
     * being executed for them has ended.
     */
    void lost(List<Long> jobs);

    /** These jobs of the monitored ones are this server's from now on. */
    void gained(List<Long> jobs);
}
