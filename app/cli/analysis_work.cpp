// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/analysis_work.h"

#include "app/cli/progress_printer.h"

namespace quantloupe::cli {
Assignment assign(
    const Session& session, const Model& model, const std::vector<Scheme>& schemes, const StudySnapshot& known)
{
    Assignment assignment;
    for (const auto& scheme : schemes)
        assignment.schemes.push_back(scheme.toString());
    for (const auto i : model.quantizableTensors()) {
        const auto& name = model.tensors[i].name;
        if (!session.wants(name))
            continue;
        assignment.tensors.push_back(i);
        WorkUnit unit {i, {}};
        for (std::size_t s = 0; s < schemes.size(); ++s) {
            const auto* measured = known.find(name, assignment.schemes[s]);
            if (measured && measured->importance == importanceUsed(model.tensors[i], schemes[s])
                && measured->calibration == calibrationUsed(model.tensors[i]))
                ++assignment.already;
            else
                unit.schemes.push_back(schemes[s]);
        }
        if (!unit.schemes.empty())
            assignment.work.push_back(std::move(unit));
    }
    return assignment;
}

Result<void> measure(
    const Session& session, const Model& model, const Assignment& assignment, Study* study, StudySnapshot& found)
{
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    return analyze(model, assignment.work, session.threads(), session.stop, progress,
        [&](const TensorMeasurement& measurement) -> Result<void> {
            if (study)
                return study->append(measurement);
            found.add(measurement);
            return {};
        });
}

}  // namespace quantloupe::cli
