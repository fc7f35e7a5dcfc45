#include "compact/compact.h"

#include "core/check.h"
#include "core/dtype.h"
#include "core/id_map.h"

namespace hopflow::cpu {
namespace {

template <typename Id>
void CheckNotNegative(std::int64_t n, const Id* ids) {
  bool ok = true;
  for (std::int64_t i = 0; i < n; ++i) ok &= ids[i] >= 0;
  if (ok) return;
  const Id* bad = std::find_if(ids, ids + n, [](Id id) { return id < 0; });
  CheckIndex(false, "ids: expected ids >= 0, got ", *bad);
}

}  // namespace

template <typename Id, typename Local>
CompactSizes CompactIds(std::int64_t num_seeds, std::int64_t num_neighbors, const Id* seeds,
                        const Id* neighbors, Id* unique_ids, Local* local_seeds,
                        Local* local_neighbors) {
  CheckNotNegative(num_seeds, seeds);
  CheckNotNegative(num_neighbors, neighbors);
  // Sampled neighbours repeat; half of them being new is a middle guess, and the table can grow.
  IdTable<Id, Local> table(num_seeds + num_neighbors / 2);
  IdList<Id> unique{unique_ids, 0};
  table.Insert(num_seeds, seeds, unique, local_seeds);
  const std::int64_t num_unique_seeds = unique.size;
  table.Insert(num_neighbors, neighbors, unique, local_neighbors);
  return {unique.size, num_unique_seeds};
}

#define HOPFLOW_INSTANTIATE(Id, Local)                                                          \
  template CompactSizes CompactIds<Id, Local>(std::int64_t, std::int64_t, const Id*, const Id*, \
                                              Id*, Local*, Local*);
HOPFLOW_FOR_IDS2(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
