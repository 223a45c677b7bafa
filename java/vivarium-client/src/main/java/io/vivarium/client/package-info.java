/**
 * The client of the native API: begin with {@link io.vivarium.client.VivariumClient}.
 *
 * <p>Every failure is a {@link io.vivarium.client.VivariumException}. All classes may be used by many threads,
 * unless they say otherwise. Zxids are the places of writes in the ensemble's order; times are by the leader's
 * clock where nothing else is said.
 */
package io.vivarium.client;
