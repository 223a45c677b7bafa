/** The task service of Apache StreamPark by its names, over {@link io.vivarium.client.TaskService}. */
package io.vivarium.client.streampark;
