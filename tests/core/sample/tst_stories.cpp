// SPDX-License-Identifier: GPL-3.0-or-later
// The stories that the sample is trained on: the same everywhere, all different, and true to what they began with.
#include "core/sample/stories.h"

#include <QRegularExpression>
#include <QSet>
#include <QTest>

#include <map>
#include <set>

using namespace quantloupe;

class TestStories : public QObject
{
    Q_OBJECT
    const std::vector<std::string> m_stories = tellStories(1, 20'000);

private Q_SLOTS:
    /// The generator is std::mt19937_64, whose numbers the standard fixes, and indices are drawn by hand.
    void theSameEverywhere()
    {
        QCOMPARE(m_stories.front(),
            std::string(
                "Leo was a kind goat. He lived on the hill with his aunt. More than anything he loved his purple "
                "ball. One rainy morning Leo took the purple ball and a bag of carrots and walked to the school. "
                "Then the ball slid into a narrow hole. Leo felt very lonely. After a while he met Ben, a tall "
                "worm. \"What is the matter?\" asked the worm. \"I cannot get my ball. It is down in a narrow hole,\" "
                "said the goat. \"Do not be lonely. I am a worm, and I can dig through the ground,\" said Ben. So "
                "the worm dug a tunnel through the ground. Soon he held the ball in his hands. \"Thank you, Ben!\" "
                "said Leo. \"You are a good friend.\" They sat down together and ate the carrots. From that morning "
                "on the goat and the worm were friends."));
        QVERIFY(tellStories(1, 3) == std::vector<std::string>({m_stories[0], m_stories[1], m_stories[2]}));
        QVERIFY(tellStories(2, 1).front() != m_stories.front());
        QCOMPARE(joinStories({"One.", "Two."}), std::string("One.\n\nTwo.\n\n"));
    }

    void allDifferent()
    {
        const std::set<std::string> different(m_stories.begin(), m_stories.end());
        QCOMPARE(different.size(), m_stories.size());
        for (const auto& story : tellStories(2, 2'000))
            QVERIFY(!different.contains(story));
    }

    void plainEnglish()
    {
        static const QRegularExpression sentences(QStringLiteral("^[A-Z\"][A-Za-z ,.!?\"]*[.!\"]$"));
        static const QRegularExpression wrongArticle(QStringLiteral("\\ba [aeiou]"));
        QSet<QString> words;
        for (const auto& one : m_stories) {
            const auto story = QString::fromStdString(one);
            QVERIFY2(sentences.match(story).hasMatch(), one.c_str());
            QVERIFY2(!wrongArticle.match(story).hasMatch(), one.c_str());
            QVERIFY2(!story.contains(QStringLiteral("  ")), one.c_str());
            static const QRegularExpression letters(QStringLiteral("[^A-Za-z]+"));
            for (const auto& word : story.split(letters, Qt::SkipEmptyParts))
                words.insert(word.toLower());
        }
        QVERIFY2(words.size() > 250 && words.size() < 500, qPrintable(QString::number(words.size())));
    }

    /// Who can do something follows from what happened; colours and treasures do not change on the way.
    void consistent()
    {
        static const QRegularExpression treasure(
            QStringLiteral("\\b(red|blue|green|yellow|white|purple|golden|silver) ([a-z]+)"));
        static const QRegularExpression helper(QStringLiteral(
            "(?:[Jj]ust then a|A|, a) (?:little|big|young|tall|small|wise) ([a-z]+)(?: came| named|\\.)"));
        std::map<QString, QSet<QString>> abilities;
        for (const auto& one : m_stories) {
            const auto story = QString::fromStdString(one);
            QSet<QString> treasures;
            for (auto match = treasure.globalMatch(story); match.hasNext();)
                treasures.insert(match.next().captured(0));
            QVERIFY2(treasures.size() == 1, one.c_str());
            const auto found = helper.match(story);
            QVERIFY2(found.hasMatch(), one.c_str());
            static const QRegularExpression can(QStringLiteral("(?:I can|Every [a-z]+ can) ([a-z ]+),\""));
            const auto able = can.match(story);
            QVERIFY2(able.hasMatch(), one.c_str());
            abilities[found.captured(1)].insert(able.captured(1));
        }
        QCOMPARE(abilities.size(), std::size_t(24));
        for (const auto& [kind, able] : abilities)
            QVERIFY2(able.size() == 1, qPrintable(kind));
    }
};

QTEST_APPLESS_MAIN(TestStories)
#include "tst_stories.moc"
