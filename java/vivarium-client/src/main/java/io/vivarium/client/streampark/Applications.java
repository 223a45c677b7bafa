package io.vivarium.client.streampark;

import java.util.List;
import java.util.Map;

/** A host's applications: what a task has to know of one, and what is done with it. */
public interface Applications<A> {
    /** Its id, by which the ring says whose it is. */
    long appId(A application);

    /** "flink" or "spark"; 64 bytes at most. */
    String engineType(A application);

    /** What the operation needs, by upstream's names; 256 of them and 64 KiB at most. */
    Map<String, String> properties(A application);

    /**
     * Carries out one operation. Returned from, it is done; a {@link io.vivarium.client.TaskFailure} has it tried
     * again later, any other exception at once, until its attempts are used up. Interrupted when the session is
     * lost.
     */
    void executeDistributedTask(DistributedTask task) throws Exception;

    /** Stops what it does for these applications, which are another server's once this has returned. */
    void lost(List<Long> appIds);

    /** These of the monitored applications are this server's from now on. */
    void gained(List<Long> appIds);
}
