// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/format_traits.h"
#include "core/schemes/scheme.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace quantloupe {
namespace {

// No weight matrix has a side near this; larger numbers are typing errors, and nothing may overflow because of them.
constexpr std::uint32_t largestExtent = 1U << 20U;
constexpr std::size_t longestText = 256;

constexpr std::array symmetries {
    Symmetry::Symmetric, Symmetry::SymmetricFull, Symmetry::Asymmetric, Symmetry::AsymmetricFloat};
constexpr std::array storages {
    ScaleStorage::Float32, ScaleStorage::Float16, ScaleStorage::BFloat16, ScaleStorage::E8M0, ScaleStorage::Double8};
constexpr std::array algorithmsOfNotation {Algorithm::Gptq, Algorithm::Cd, Algorithm::Awq, Algorithm::Smooth,
    Algorithm::Hqq, Algorithm::AdaRound, Algorithm::Hadamard, Algorithm::BiasCorrection, Algorithm::Equalization,
    Algorithm::Imatrix, Algorithm::Qat};

constexpr std::string_view allowedGranularities = "tensor, channel, gN, bRxC or token";
constexpr std::string_view allowedSymmetries = "sym, symf, asym or asymf";
constexpr std::string_view allowedRanges = "minmax, pN, mse or entropy";
constexpr std::string_view allowedStorages = "s32, s16, sbf16, se8m0 or s8";
constexpr std::string_view allowedAlgorithms =
    "gptq, cd, awq, smooth, hqq, adaround, hadamard, biascorr, cle, imatrix or qat";

// The parts in the order in which the notation has them.
enum class Part : std::uint8_t { Granularity, Symmetry, Range, Scale };

std::string_view nameOfPart(Part part)
{
    switch (part) {
    case Part::Granularity: return "granularity";
    case Part::Symmetry: return "symmetry";
    case Part::Range: return "range";
    case Part::Scale: return "scale storage";
    }
    return {};
}

bool isDigits(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string quoted(std::string_view text)
{
    std::string result(1, '\'');
    result.append(text);
    result += '\'';
    return result;
}

// Words with numbers, such as g128, are told apart from plain nonsense so that the message can name what is wrong.
bool looksLikeGroup(std::string_view word)
{
    return word.size() > 1 && word[0] == 'g' && isDigits(word.substr(1));
}
bool looksLikeBlock(std::string_view word)
{
    const std::size_t cross = word.find('x');
    return word.size() > 1 && word[0] == 'b' && cross != std::string_view::npos && isDigits(word.substr(1, cross - 1))
        && isDigits(word.substr(cross + 1));
}
bool looksLikePercentile(std::string_view word)
{
    if (word.size() < 2 || word[0] != 'p')
        return false;
    const std::string_view number = word.substr(1);
    const std::size_t point = number.find('.');
    return isDigits(number.substr(0, point)) && (point == std::string_view::npos || isDigits(number.substr(point + 1)));
}

class Parser
{
public:
    explicit Parser(std::string_view text)
        : m_text(text)
    {
    }

    Result<Scheme> parse()
    {
        if (m_text.size() > longestText)
            return fail("longer than " + std::to_string(longestText) + " characters");
        const std::size_t plus = m_text.find('+');
        const std::string_view head = m_text.substr(0, plus);
        const std::size_t colon = head.find(':');
        if (auto read = readFormat(head.substr(0, colon)); !read)
            return tl::unexpected(read.error());
        for (std::size_t start = colon; start != std::string_view::npos;) {
            const std::size_t next = head.find(':', start + 1);
            if (auto read = readPart(head.substr(start + 1, next - start - 1)); !read)
                return tl::unexpected(read.error());
            start = next;
        }
        for (std::size_t start = plus; start != std::string_view::npos;) {
            const std::size_t next = m_text.find('+', start + 1);
            if (auto read = readAlgorithm(m_text.substr(start + 1, next - start - 1)); !read)
                return tl::unexpected(read.error());
            start = next;
        }
        // Below 50 the lower percentile would lie above the upper one.
        const bool twoSided =
            m_scheme.symmetry == Symmetry::Asymmetric || m_scheme.symmetry == Symmetry::AsymmetricFloat;
        if (twoSided && m_scheme.range.kind == RangeEstimator::Kind::Percentile && m_scheme.range.percentile <= 50.0)
            return fail("asymmetric ranges reach from percentile 100 − N to N: N must be above 50");
        return m_scheme;
    }

private:
    tl::unexpected<Error> fail(std::string reason) const
    {
        return failure(
            ErrorCode::InvalidArgument, "scheme " + quoted(m_text.substr(0, longestText)), std::move(reason));
    }

    Result<void> readFormat(std::string_view word)
    {
        const bool isUnsigned = word.starts_with("uint");
        const std::string_view name = isUnsigned ? word.substr(1) : word;
        const auto formats = allFormats();
        const auto found =
            std::find_if(formats.begin(), formats.end(), [name](Format format) { return nameOf(format) == name; });
        if (found == formats.end() || (isUnsigned && *found == Format::Int16))
            return fail((quoted(word) + " is no number format: use ").append(everyFormat()));
        m_scheme = Scheme::of(*found);
        m_family = traitsOf(*found).family;
        m_unsigned = isUnsigned;
        if (isUnsigned)
            m_scheme.symmetry = Symmetry::Asymmetric;
        return {};
    }

    static std::string everyFormat()
    {
        std::string text;
        for (const Format format : allFormats())
            text.append(text.empty() ? "" : ", ").append(nameOf(format));
        return text + ", or uint2 to uint8";
    }

    Result<void> readPart(std::string_view word)
    {
        if (word.empty())
            return fail("an empty part: two colons in a row, or one at the end");
        if (word == "tensor" || word == "channel" || word == "token" || looksLikeGroup(word) || looksLikeBlock(word))
            return readGranularity(word);
        for (const Symmetry symmetry : symmetries)
            if (word == wordOf(symmetry))
                return readSymmetry(symmetry);
        if (word == "minmax" || word == "mse" || word == "entropy" || looksLikePercentile(word))
            return readRange(word);
        for (const ScaleStorage storage : storages)
            if (word == wordOf(storage)) {
                if (auto allowed = enter(Part::Scale, takesScale(m_family)); !allowed)
                    return allowed;
                m_scheme.scales = storage;
                return {};
            }
        return fail(quoted(word) + " is no part of a scheme: granularity is " + std::string(allowedGranularities)
            + ", symmetry " + std::string(allowedSymmetries) + ", range " + std::string(allowedRanges)
            + ", scale storage " + std::string(allowedStorages));
    }

    // Whether this part may stand here: in order, once, and on a format that takes it.
    Result<void> enter(Part part, bool taken)
    {
        const std::string name(nameOfPart(part));
        if (!taken)
            return fail(std::string(nameOf(m_scheme.format)) + " takes no " + name + whyNot(part));
        if (m_last == part)
            return fail("a second " + name + ": each part stands once");
        if (m_last && *m_last > part)
            return fail(name + " after " + std::string(nameOfPart(*m_last))
                + ": the order is granularity, symmetry, range, scale storage");
        m_last = part;
        return {};
    }

    std::string whyNot(Part part) const
    {
        switch (m_family) {
        case FormatFamily::Block: return ": it has a block and scales of its own";
        case FormatFamily::Plain: return ": it has no scale";
        case FormatFamily::Ternary:
            return part == Part::Range ? ": its scale is the mean of |w|" : ": it is symmetric by nature";
        case FormatFamily::LookUpTable:
            return part == Part::Range ? ": its levels follow the weights" : ": its levels lie anywhere";
        default: return ": only the integer formats have one";
        }
    }

    Result<void> readGranularity(std::string_view word)
    {
        if (auto allowed = enter(Part::Granularity, takesGranularity(m_family)); !allowed)
            return allowed;
        using Kind = Granularity::Kind;
        if (word == "tensor")
            m_scheme.granularity = {Kind::Tensor, 0, 0};
        else if (word == "channel")
            m_scheme.granularity = {Kind::Channel, 0, 0};
        else if (word == "token")
            m_scheme.granularity = {Kind::Token, 0, 0};
        else if (word[0] == 'g') {
            const auto size = readExtent(word.substr(1));
            if (!size)
                return tl::unexpected(size.error());
            m_scheme.granularity = {Kind::Group, 0, *size};
        } else {
            const std::size_t cross = word.find('x');
            const auto rows = readExtent(word.substr(1, cross - 1));
            if (!rows)
                return tl::unexpected(rows.error());
            const auto columns = readExtent(word.substr(cross + 1));
            if (!columns)
                return tl::unexpected(columns.error());
            m_scheme.granularity = {Kind::Block, *rows, *columns};
        }
        return {};
    }

    Result<std::uint32_t> readExtent(std::string_view digits) const
    {
        std::uint32_t value = 0;
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (read.ec != std::errc {} || value == 0 || value > largestExtent || digits[0] == '0')
            return fail("granularity size " + std::string(digits) + ": it must be a plain number from 1 to "
                + std::to_string(largestExtent));
        return value;
    }

    Result<void> readSymmetry(Symmetry symmetry)
    {
        if (auto allowed = enter(Part::Symmetry, takesSymmetry(m_family)); !allowed)
            return allowed;
        if (m_unsigned && symmetry != Symmetry::Asymmetric)
            return fail(
                "unsigned integers are asymmetric: asym is the only symmetry, not " + std::string(wordOf(symmetry)));
        m_scheme.symmetry = symmetry;
        return {};
    }

    Result<void> readRange(std::string_view word)
    {
        if (auto allowed = enter(Part::Range, takesRange(m_family)); !allowed)
            return allowed;
        using Kind = RangeEstimator::Kind;
        if (word == "minmax")
            m_scheme.range = {Kind::MinMax, 100.0};
        else if (word == "mse")
            m_scheme.range = {Kind::Mse, 100.0};
        else if (word == "entropy")
            m_scheme.range = {Kind::Entropy, 100.0};
        else {
            double percentile = 0.0;
            const auto read =
                std::from_chars(word.data() + 1, word.data() + word.size(), percentile, std::chars_format::fixed);
            if (read.ec != std::errc {} || !(percentile > 0.0) || percentile > 100.0)
                return fail("percentile " + std::string(word.substr(1)) + ": it must lie above 0 and not above 100");
            m_scheme.range = {Kind::Percentile, percentile};
        }
        return {};
    }

    Result<void> readAlgorithm(std::string_view word)
    {
        const auto found = std::find_if(algorithmsOfNotation.begin(), algorithmsOfNotation.end(),
            [word](Algorithm algorithm) { return nameOf(algorithm) == word; });
        if (found == algorithmsOfNotation.end())
            return fail(quoted(word) + " is no algorithm: use " + std::string(allowedAlgorithms));
        auto& algorithms = m_scheme.algorithms;
        if (std::find(algorithms.begin(), algorithms.end(), *found) != algorithms.end())
            return fail("algorithm " + std::string(word) + " stands twice");
        algorithms.push_back(*found);
        return {};
    }

    std::string_view m_text;
    Scheme m_scheme {};
    FormatFamily m_family = FormatFamily::Integer;
    bool m_unsigned = false;
    std::optional<Part> m_last {};
};

}  // namespace

Result<Scheme> Scheme::parse(std::string_view text)
{
    return Parser(text).parse();
}

}  // namespace quantloupe
