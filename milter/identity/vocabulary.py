"""Words that surround a brand in the names and addresses that fraud invents.

General knowledge of the field: what health insurers call their services, what administrations ask for, what a hurried letter
says. No list of fraud feeds. Each word is lower case without accents; must not hold a brand.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEALTH = _words(
    """
    sante health gesundheit mutuelle mutuelles mutualiste mutualite mutuel assurance assurances assurancesante insurance versicherung assureur
    assur assure assures assuree assurees assuresociaux assuresocial complementaire complementairesante prevoyance maladie maladies vitale
    vitales vital carte cartes soin soins medical medicale medicaux medecin medecins pharmacie pharmacien hopital patient patients optique
    dentaire remboursement remboursements rembourse rembourser remb remboursementsante tierspayant tiers payant adherent adherents adherente
    beneficiaire beneficiaires ayantdroit ayantsdroit cotisation cotisations secu securitesociale securite sociale social caisse regime
    attestation droits droit prestation prestations indemnite indemnites indemnisation sinistre sinistres garantie garanties ordonnance
    dossiermedical ald arret arretmaladie feuille puma cmu ceam vaccin vaccination protectionsociale famille allocation allocations retraite
    """
)
"""Words of health, insurance and social security: beside a brand they say that the insurer is meant."""

SERVICE = _words(
    """
    acces access accueil acceuil activation active activer activez actualisation actualise actualiser actualisez actu actualite agence aide
    aides alerte alertes alert annulation appel authentification authentifier auth avantage avantages avis avisimportant bienvenue bureau centre
    cgu client cliente clients clientele code colis commande commander compte comptes confirmation confirme confirmer connect connecte
    connection connexion connecter conseil conseiller conseils contact contacts contrat contrats controle coordonnees courrier declaration delai
    delivrance demande demandes demarche demarches direct document documents donnees dossier dossiers echeance echeancier edition email enligne
    enregistrement envoi envoyer espace espaces espaceclient espaceassure espaceadherent espaceperso espacepersonnel expedition expire
    expiration expiree facture factures fiche finalisation finaliser formulaire formulaires form forms fraude france francaise francais
    franceconnect fr frauduleux gestion gestionnaire gouv gouvernement gouvfr guichet help hotline id identifiant identifiants identification
    identifier identite impaye important importante incident info infos information informations inscription interne internet juridique
    justificatif justificatifs lettre lien livraison livrer locale login logon mail mails maintenance maj majour message messagerie messages
    mise miseajour mobile modification modifier mon moncompte mondossier monespace mes messervices multi nepasrepondre newsletter nom noreply
    notif notification notifications notifier nouveau nouvel nouvelle nouvellecarte numerique obligatoire officiel officielle online operation
    ouverture page paiement paiements payement payer payment perso personnel personnelle plateforme plan point pole police portail portal postal
    pro procedure prochaine prochain profil projet promo prolongation protection public publique rappel reactivation reactiver rec reception
    reclamation recouvrement recruiter recrutement redirection referent refund regler reglement reglementaire regul regularisation regularise
    regulariser relance remise remplacement remplacer renew renewal renouveler renouvelez renouvellement renouvellements renouvelle renouv
    renouvel rendezvous rdv repondre reponse reseau reservation retard rh rib safe satisfaction secretariat sec secur secure secured securise
    securisee securiser security service services serviceclient servicesclients servicepublic sign signature signin simulateur simulation site
    sms solution solutions souscription souscrire statut suite suivi support supports suspension suspendu sync synchronisation tarif tarifs team
    tel telephone telechargement teleservice teleservices traitement transaction transfert transmission update updates urgent urgence usager
    usagers user utilisateur valid validate validation valide valider validez verif verification verifie verifier verify virement virements
    votre votrecompte votreespace votredossier vos web webmail www etat citoyen citoyens demat bonus prime cheque emploi carriere carrieres
    candidature offre offres devis comparateur tarification gouvsecure frconnect assistance antifraude
    """
)
"""Words of accounts, administration, delivery, haste and hiring: beside a brand they dress a domain up as its service."""

FILLER = _words(
    """
    a au aux ce ces cette com d de des du e en est et g h i il j je l la le les leur m me mn n ne net nos notre o ou org par pas pour qui s sa
    se ses son sur t ton tu un une v via x y the my your our for of and to in on der die das und mein ihr ihre new jour ligne groupe group
    departement region national nationale international general generale paris lyon marseille lille nord sud ouest idf ile eu europe fra 24 app
    officiels ici plus prochainement particulier particuliers entreprise entreprises professionnel professionnels
    """
)
"""Words that explain letters without meaning anything by themselves."""

LEGAL_FORMS = _words("sa sas sarl sam sasu gie asbl ag se gmbh ltd inc plc cic union societe mutuelle assurances assurance groupe")
"""Legal forms and the like, which a display name may carry beside the brand."""

NAMESAKES = _words(
    """
    stade stadium arena arenas riviera fondation foundation stiftung amicale cse syndicat cgt cfdt cftc unsa fo snb musee museum festival
    marathon trail trophee tournoi championnat rugby football alumni association chorale orchestre
    """
)
"""Bodies and places that carry an insurer's name and are not the insurer: grounds, foundations, works councils, unions."""

DESK = _words(
    """
    service services client clients clientele adherent adherents assure assures assurance assurances sante mutuelle mutuelles maladie
    remboursement remboursements cotisation cotisations prestation prestations indemnisation sinistre sinistres dossier dossiers contrat
    contrats compte espace portail pole centre caisse support assistance gestion securite secu sociale messagerie notification
    notifications alerte alertes noreply nepasrepondre customer member members kundenservice kundendienst vitale
    """
)
"""Words of which at least one stands in the name of an author who gives none of his own (`Service clients`)."""

OWN_BUSINESS = _words(
    """
    rh newsletter actu actualite actualites presse recrutement candidature emploi carriere carrieres offre offres comparateur devis tarif
    tarifs juridique reseau fr web info infos promo bonus simulateur police
    """
)
"""Words by which a sender says after all what he does by himself: personnel, press, hiring, comparing."""

INSURANCE = _words(
    """
    mutuelle assurance assurances maladie sante remboursement remboursements vitale cotisation cotisations adherent adherents adhesion
    assure assures societaire societaires prestation prestations sinistre sinistres complementaire prevoyance allocation allocations
    allocataire indemnisation echeance
    """
)
"""Words that say by themselves that a mail is about an insurance or a social-security body."""

SIGNING = _words(
    """
    cordialement sincerement bien respectueusement salutations distinguees bientot merci conseillere charge chargee correspondant
    correspondante interlocuteur interlocutrice direction directeur directrice responsable kundenservice kundendienst regards kind best
    yours sincerely faithfully mit freundlichen grussen ihr ihre
    """
)
"""Words with which letters close and signatures name a post."""
