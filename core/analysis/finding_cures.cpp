// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/findings.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

namespace quantloupe {

namespace {

bool isAboutErrors(FindingKind kind)
{
    switch (kind) {
    case FindingKind::HeavyTails:
    case FindingKind::LoudInputChannels:
    case FindingKind::LoudOutputChannels:
    case FindingKind::LowSqnr: return true;
    case FindingKind::BrokenValues:
    case FindingKind::ConstantTensor:
    case FindingKind::DeadChannels:
    case FindingKind::BetterScheme: return false;
    }
    return false;
}

/// The scheme that a finding is about, else the measured one that does worst; null when there is none.
const SchemeMeasurement* schemeToCure(const StudySnapshot& study, const Finding& finding)
{
    if (!finding.scheme.empty())
        return study.find(finding.tensor, finding.scheme);
    const SchemeMeasurement* worst = nullptr;
    for (const auto& [name, measured] : study.of(finding.tensor))
        if (std::isfinite(measured->error.sqnrDb())
            && (worst == nullptr || measured->error.sqnrDb() < worst->error.sqnrDb()))
            worst = measured.get();
    return worst;
}

/// A finding and where its cure is to be tried.
struct Patient {
    Finding* finding = nullptr;
    const ModelTensor* tensor = nullptr;
    const WeightStatistics* weights = nullptr;
    const SchemeMeasurement* measured = nullptr;
};

std::vector<Patient> patientsAmong(std::vector<Finding>& findings, const Model& model, const StudySnapshot& study)
{
    std::vector<Patient> patients;
    for (auto& finding : findings) {
        if (patients.size() == mostFindingsToCure)
            break;
        if (!isAboutErrors(finding.kind))
            continue;
        const auto index = model.find(finding.tensor);
        const auto* weights = study.findWeights(finding.tensor);
        const auto* measured = schemeToCure(study, finding);
        if (index && weights != nullptr && measured != nullptr)
            patients.push_back({&finding, &model.tensors[*index], weights, measured});
    }
    return patients;
}

void complete(Finding& finding, const Scheme& scheme, std::span<const Cure> cures)
{
    if (cures.empty())
        return;
    // Told where the finding itself does not.
    const auto under = finding.scheme.empty() ? " Under " + scheme.toString() + ": " : std::string(" ");
    if (const auto* best = cureToSuggest(cures)) {
        finding.cure = *best;
        finding.text += under + best->sentence();
        if (best->kind != CureKind::Rotation)
            return;
        // Few engines rotate activations.
        std::vector<Cure> others;
        std::copy_if(cures.begin(), cures.end(), std::back_inserter(others),
            [](const Cure& cure) { return cure.kind != CureKind::Rotation; });
        if (const auto* second = cureToSuggest(others))
            finding.text += " Without one: " + second->sentence();
        return;
    }
    finding.text += under + (under == " " ? "None" : "none") + " of the " + std::to_string(cures.size())
        + " changes tried on it gains 1 dB beyond what its bits are worth, or 3 dB for at most a quarter more bytes.";
}

}  // namespace

Result<std::vector<Finding>> findingsWithCures(
    const Model& model, const StudySnapshot& study, std::stop_token stop, Progress& progress)
{
    auto findings = findingsOf(study);
    const auto patients = patientsAmong(findings, model, study);
    using Key = std::pair<std::string, std::string>;
    const auto keyOf = [](const Patient& patient) {
        return Key(patient.tensor->name, patient.measured->scheme.toString());
    };
    std::map<Key, std::vector<Cure>> tried;
    std::uint64_t bytes = 0;
    for (const auto& patient : patients)
        if (tried.try_emplace(keyOf(patient)).second)
            bytes += patient.tensor->bytes();
    progress.totalBytes = bytes;
    progress.totalItems = static_cast<std::uint32_t>(tried.size());
    std::map<Key, bool> done;
    for (const auto& patient : patients) {
        const auto key = keyOf(patient);
        if (done.try_emplace(key, true).second) {
            auto cures = tryCures(*patient.tensor, *patient.weights, patient.measured->scheme, &model, stop, progress);
            if (!cures && cures.error().code != ErrorCode::Unsupported)
                return tl::unexpected(cures.error());
            if (cures)
                tried[key] = std::move(*cures);
            releaseBytes(patient.tensor->view);
            ++progress.doneItems;
        }
        complete(*patient.finding, patient.measured->scheme, tried[key]);
    }
    return findings;
}

}  // namespace quantloupe
