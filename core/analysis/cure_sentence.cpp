// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/cures.h"
#include "core/analysis/sentence_words.h"

#include <cmath>
#include <limits>

namespace quantloupe {

namespace {

std::string channels(const Cure& cure, const char* direction, const char* format)
{
    const auto count = cure.kept.size();
    return "Keeping the " + std::string(count == 1 ? "" : std::to_string(count) + " ") + direction
        + (count == 1 ? " channel" : " channels")
        + (cure.kind == CureKind::WiderRows ? " with most error in " : " with the largest weights in ") + format;
}

std::string subjectOf(const Cure& cure)
{
    const auto named = " (" + cure.scheme.toString() + ")";
    switch (cure.kind) {
    case CureKind::SmallerGroup: return "A smaller group" + named;
    case CureKind::OtherRange: return "The range of least squared error" + named;
    case CureKind::OtherSymmetry:
        if (cure.scheme.symmetry == Symmetry::SymmetricFull)
            return "The full range of codes" + named;
        return (cure.scheme.symmetry == Symmetry::Asymmetric ? "A zero point" : "A floating minimum") + named;
    case CureKind::MoreBits: return "A wider format" + named;
    case CureKind::OtherNumbers: return "Other numbers" + named;
    case CureKind::Rotation: return "A Hadamard rotation, of activations too" + named;
    case CureKind::Search: return "A floating minimum found by HQQ" + named;
    case CureKind::ChannelCorrection: return "Correcting each output channel" + named;
    case CureKind::WiderRows: return channels(cure, "output", "int8");
    case CureKind::WiderColumns: return channels(cure, "input", "fp16");
    case CureKind::InputAware: return "Rounding by the layer's inputs" + named;
    case CureKind::AnotherScheme: break;
    }
    return cure.scheme.toString();
}

std::string decibels(double value)
{
    return std::isinf(value) ? std::string(value > 0.0 ? "no loss" : "nothing left") : number(value, 1) + " dB";
}

}  // namespace

double Cure::addedBits() const
{
    const double bytes = static_cast<double>(bytesAfter) - static_cast<double>(bytesBefore);
    return weights == 0 ? 0.0 : 8.0 * bytes / static_cast<double>(weights);
}

double Cure::gainPerAddedBit() const
{
    if (bytesAfter <= bytesBefore)
        return gain() > 0.0 ? std::numeric_limits<double>::infinity()
            : gain() == 0.0 ? 0.0
                            : -std::numeric_limits<double>::infinity();
    return gain() / addedBits();
}

std::string Cure::sentence() const
{
    std::string size = " at the same size";
    if (bytesAfter != bytesBefore) {
        const double bits = std::abs(addedBits());
        size = " for " + (bits < 0.005 ? std::string("less than 0.01") : number(bits, 2)) + " bits per weight "
            + (bytesAfter > bytesBefore ? "more" : "less");
    }
    const std::string extent = measuredRows == rows
        ? "measured on the whole tensor"
        : "measured on " + std::to_string(measuredRows) + " of " + std::to_string(rows) + " rows";
    const auto& figures = outputs ? *outputs : OutputGain {sqnrBefore, sqnrAfter};
    return subjectOf(*this) + " would give " + decibels(figures.after) + (outputs ? " at the outputs" : "")
        + " instead of " + decibels(figures.before) + size + " (" + extent + ").";
}

}  // namespace quantloupe
