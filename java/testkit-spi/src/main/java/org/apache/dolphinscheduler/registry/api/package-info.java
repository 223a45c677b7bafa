/** The names of the registry API of DolphinScheduler 3.2 and 3.3 that a registry plugin meets; the host brings the real ones. */
package org.apache.dolphinscheduler.registry.api;
