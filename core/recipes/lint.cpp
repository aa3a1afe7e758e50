// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/lint.h"

#include "core/base/glob.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <map>

namespace quantloupe {
namespace {

constexpr std::size_t shownExamples = 3;

/// Weights of a row that share a scale; 0 where a row has no such parts.
std::uint64_t unitOf(const Scheme& scheme)
{
    const auto& granularity = scheme.granularity;
    if (granularity.kind == Granularity::Kind::Group || granularity.kind == Granularity::Kind::Block)
        return granularity.columns;
    return traitsOf(scheme.format).blockElements;
}

class Linter
{
public:
    Linter(const Recipe& recipe, const ModelCatalog& model)
        : m_recipe(recipe)
        , m_model(model)
        , m_plans(decide(recipe, model))
        , m_tied(tiedHead(model))
    {
    }

    LintReport run()
    {
        if (!m_recipe.fingerprint.empty() && m_recipe.fingerprint != m_model.fingerprint)
            find(LintKind::OtherModel, LintSeverity::Note, std::nullopt, {},
                "the recipe was made for another model: its rules are applied by name");
        followRules();
        tellOfKeep();
        tellOfRules();
        tellOfConflicts();
        tellOfGroups();
        tellOfFusions();
        return std::move(m_report);
    }

private:
    void find(LintKind kind, LintSeverity severity, std::optional<std::size_t> rule, std::vector<std::string> tensors,
        std::string text)
    {
        m_report.findings.push_back({kind, severity, rule, std::move(tensors), std::move(text)});
    }

    static LintedRule lineOf(std::string match, std::string scheme) { return {std::move(match), std::move(scheme)}; }

    void count(LintedRule& line, const std::string& tensor, bool decides)
    {
        ++line.matches;
        line.decides += decides ? 1 : 0;
        if (line.examples.size() < shownExamples)
            line.examples.push_back(tensor);
    }

    /// For each tensor which lines match it, and which has the last word.
    void followRules()
    {
        m_report.defaults = lineOf("(default)", m_recipe.defaultPlan.toString());
        for (const auto& pattern : m_recipe.keep)
            m_report.keep.push_back(lineOf(pattern, "keep"));
        for (const auto& rule : m_recipe.rules)
            m_report.rules.push_back(lineOf(rule.match, rule.plan.toString()));
        m_matched.resize(m_model.tensors.size());
        for (std::size_t i = 0; i < m_model.tensors.size(); ++i) {
            const auto& tensor = m_model.tensors[i];
            if (!tensor.quantizable || m_tied == i)
                continue;
            bool kept = false;
            for (std::size_t k = 0; k < m_recipe.keep.size(); ++k)
                if (globMatches(m_recipe.keep[k], tensor.name)) {
                    count(m_report.keep[k], tensor.name, !kept);
                    kept = true;
                }
            for (std::size_t r = 0; r < m_recipe.rules.size(); ++r)
                if (globMatches(m_recipe.rules[r].match, tensor.name))
                    m_matched[i].push_back(r);
            for (const auto r : m_matched[i])
                count(m_report.rules[r], tensor.name, !kept && r == m_matched[i].back());
            count(m_report.defaults, tensor.name, !kept && m_matched[i].empty());
        }
    }

    void tellOfKeep()
    {
        for (std::size_t k = 0; k < m_recipe.keep.size(); ++k) {
            if (m_report.keep[k].matches > 0)
                continue;
            // Norms are kept anyway: a line that names them says so to people.
            const bool names = std::any_of(m_model.tensors.begin(), m_model.tensors.end(),
                [&](const CatalogTensor& tensor) { return globMatches(m_recipe.keep[k], tensor.name); });
            if (!names)
                find(LintKind::NoMatch, LintSeverity::Note, std::nullopt, {},
                    "keep '" + m_recipe.keep[k] + "' matches no tensor");
        }
    }

    void tellOfRules()
    {
        for (std::size_t r = 0; r < m_recipe.rules.size(); ++r) {
            const auto& line = m_report.rules[r];
            if (line.matches == 0) {
                const bool names = std::any_of(m_model.tensors.begin(), m_model.tensors.end(),
                    [&](const CatalogTensor& tensor) { return globMatches(line.match, tensor.name); });
                find(LintKind::NoMatch, LintSeverity::Warning, r, {},
                    "'" + line.match + "' matches "
                        + (names ? "only tensors that are never quantized" : "no tensor of the model"));
            } else if (line.decides == 0) {
                find(LintKind::Shadowed, LintSeverity::Warning, r, line.examples,
                    "'" + line.match + "' decides nothing: " + shadowsOf(r));
            } else if (m_recipe.rules[r].plan == m_recipe.defaultPlan && !overrides(r)) {
                find(LintKind::Redundant, LintSeverity::Note, r, line.examples,
                    "'" + line.match + "' says what the default says");
            }
        }
    }

    /// Which lines have the last word about what a rule matches.
    std::string shadowsOf(std::size_t rule) const
    {
        std::map<std::string, std::size_t> by;
        for (const auto& matched : m_matched)
            if (std::find(matched.begin(), matched.end(), rule) != matched.end())
                ++by[matched.back() == rule ? "keep" : "'" + m_recipe.rules[matched.back()].match + "'"];
        std::string text;
        for (const auto& [line, tensors] : by)
            text += (text.empty() ? "" : ", ") + line + " wins " + std::to_string(tensors);
        return text;
    }

    /// Whether a rule changes what an earlier one says.
    bool overrides(std::size_t rule) const
    {
        return std::any_of(m_matched.begin(), m_matched.end(), [&](const std::vector<std::size_t>& matched) {
            const auto at = std::find(matched.begin(), matched.end(), rule);
            return at != matched.end() && at != matched.begin()
                && m_recipe.rules[*(at - 1)].plan != m_recipe.rules[rule].plan;
        });
    }

    /// Pairs of rules that overlap with neither inside the other: which of them wins is easily overlooked.
    void tellOfConflicts()
    {
        std::map<std::pair<std::size_t, std::size_t>, std::vector<std::string>> shared;
        for (std::size_t i = 0; i < m_matched.size(); ++i)
            for (std::size_t a = 0; a < m_matched[i].size(); ++a)
                for (std::size_t b = a + 1; b < m_matched[i].size(); ++b)
                    if (m_recipe.rules[m_matched[i][a]].plan != m_recipe.rules[m_matched[i][b]].plan)
                        shared[{m_matched[i][a], m_matched[i][b]}].push_back(m_model.tensors[i].name);
        for (auto& [pair, tensors] : shared) {
            const auto [first, second] = pair;
            const auto both = tensors.size();
            if (both == m_report.rules[first].matches || both == m_report.rules[second].matches)
                continue;  // an exception to a general rule, or a rule that is shadowed: said already
            find(LintKind::Conflict, LintSeverity::Warning, second, std::move(tensors),
                "'" + m_report.rules[first].match + "' and '" + m_report.rules[second].match + "' disagree about "
                    + std::to_string(both) + (both == 1 ? " tensor" : " tensors") + "; the later one wins");
        }
    }

    void tellOfGroups()
    {
        struct Uneven {
            LintSeverity severity = LintSeverity::Warning;
            std::vector<std::string> tensors {};
        };
        std::map<std::string, Uneven> uneven;
        for (std::size_t i = 0; i < m_plans.size(); ++i) {
            if (!m_plans[i] || m_tied == i)
                continue;
            const auto& scheme = m_plans[i]->weights;
            const auto unit = unitOf(scheme);
            const auto columns = m_model.tensors[i].matrix.columns;
            if (unit <= 1 || columns % unit == 0)
                continue;
            const bool block = traitsOf(scheme.format).family == FormatFamily::Block;
            auto& found = uneven[scheme.toString() + " on rows of " + std::to_string(columns)
                + (block                 ? ": no file holds rows that end within a block of "
                        : unit > columns ? ": the whole row is one unit of "
                                         : ": the last unit is shorter than ")
                + std::to_string(unit)];
            found.severity = block ? LintSeverity::Error : LintSeverity::Warning;
            found.tensors.push_back(m_model.tensors[i].name);
        }
        for (auto& [text, found] : uneven)
            find(LintKind::ShortGroup, found.severity, std::nullopt, std::move(found.tensors), text);
    }

    void tellOfFusions()
    {
        struct Fusion {
            std::string first;
            bool differs = false;
            std::vector<std::string> tensors {};
        };
        std::map<std::string, Fusion> fusions;
        for (std::size_t i = 0; i < m_plans.size(); ++i) {
            const auto& group = m_model.tensors[i].parts.fusedGroup;
            if (group.empty())
                continue;
            const auto text = m_plans[i] ? m_plans[i]->toString() : std::string("as stored");
            auto [entry, added] = fusions.try_emplace(group, Fusion {.first = text});
            entry->second.differs = entry->second.differs || entry->second.first != text;
            entry->second.tensors.push_back(m_model.tensors[i].name);
        }
        for (auto& [group, fusion] : fusions)
            if (fusion.differs)
                find(LintKind::SplitFusion, LintSeverity::Note, std::nullopt, std::move(fusion.tensors),
                    "runtimes join these, and want one scheme for all");
    }

    const Recipe& m_recipe;
    const ModelCatalog& m_model;
    std::vector<std::optional<LayerPlan>> m_plans;
    std::optional<std::size_t> m_tied;
    std::vector<std::vector<std::size_t>> m_matched {};  ///< of each tensor the rules that match it, in order
    LintReport m_report {};
};

}  // namespace

std::string_view nameOf(LintSeverity severity)
{
    switch (severity) {
    case LintSeverity::Note: return "note";
    case LintSeverity::Warning: return "warning";
    case LintSeverity::Error: return "error";
    }
    return {};
}

std::string_view nameOf(LintKind kind)
{
    switch (kind) {
    case LintKind::NoMatch: return "no_match";
    case LintKind::Shadowed: return "shadowed";
    case LintKind::Conflict: return "conflict";
    case LintKind::Redundant: return "redundant";
    case LintKind::ShortGroup: return "short_group";
    case LintKind::SplitFusion: return "split_fusion";
    case LintKind::OtherModel: return "other_model";
    case LintKind::Target: return "target";
    }
    return {};
}

std::size_t LintReport::count(LintSeverity severity) const
{
    return static_cast<std::size_t>(std::count_if(findings.begin(), findings.end(),
        [severity](const LintFinding& finding) { return finding.severity == severity; }));
}

LintReport lint(const Recipe& recipe, const ModelCatalog& model)
{
    return Linter(recipe, model).run();
}

}  // namespace quantloupe
