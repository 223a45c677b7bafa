package io.vivarium.client;

/** Carries out tasks. */
@FunctionalInterface
public interface TaskHandler {
    /**
     * Carries out one task, on a thread of the worker. Returned from, it is completed, unless the handler said
     * itself what became of it. Its thread is interrupted when the session is lost.
     *
     * @throws TaskFailure to have it tried again later
     * @throws Exception to have it tried again at once, until its attempts are used up
     */
    void execute(ClaimedTask task) throws Exception;
}
