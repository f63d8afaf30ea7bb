// The page's places: which view is shown where.
import { accessView } from "./views/access.js";
import { backupsView } from "./views/backups.js";
import { cacheView } from "./views/cache.js";
import { collectionsView } from "./views/collections.js";
import { dashboardView } from "./views/dashboard.js";
import { definitionView, newCollectionView } from "./views/definition.js";
import { followersView } from "./views/followers.js";
import { handlersView } from "./views/handlers.js";
import { jobsView } from "./views/jobs.js";
import { liveView } from "./views/live.js";
import { logsView } from "./views/logs.js";
import { recordsView } from "./views/records.js";

export const routes = [
  ["", "Overview", dashboardView],
  ["collections", "Collections", collectionsView],
  ["collections/:name", (name) => name, (name, signal) => recordsView(name, null, signal)],
  ["collections/:name/:id", (name, id) => `${name}/${id}`, recordsView],
  ["new", "New collection", newCollectionView],
  ["define/:name", (name) => `Definition of ${name}`, definitionView],
  ["live", "Live", liveView],
  ["handlers", "Handlers", handlersView],
  ["jobs", "Jobs", jobsView],
  ["access", "Users & keys", accessView],
  ["followers", "Followers", followersView],
  ["backups", "Backups", backupsView],
  ["cache", "Cache", cacheView],
  ["logs", "Logs", logsView],
];
